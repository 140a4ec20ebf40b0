use super::*;

fn texts(body: &'static str) -> Result<Vec<String>, Rejection> {
    let elements = split(&Bytes::from_static(body.as_bytes()))?;
    Ok(elements
        .iter()
        .map(|element| String::from_utf8(element.to_vec()).unwrap())
        .collect())
}

#[test]
fn elements_are_kept_as_they_were_written() {
    assert_eq!(texts("[]").unwrap(), Vec::<String>::new());
    assert_eq!(
        texts(" [ { \"a\" : 1.50 } , 7,[ 1 ] ,\"\\u00e9\",null ] ").unwrap(),
        ["{ \"a\" : 1.50 }", "7", "[ 1 ]", "\"\\u00e9\"", "null"]
    );
}

#[test]
fn what_is_no_array_is_no_batch() {
    for (body, message) in [
        ("{}", "a batch is one JSON array of events"),
        ("\"a\"", "a batch is one JSON array of events"),
        ("null", "a batch is one JSON array of events"),
        ("", "the body is not JSON: "),
        ("[1,2", "the body is not JSON: "),
        ("[1,]", "the body is not JSON: "),
        ("[1] 2", "the body is not JSON: "),
        ("[nul]", "the body is not JSON: "),
    ] {
        let rejection = texts(body).unwrap_err();
        assert!(rejection.message.starts_with(message), "{body}: {rejection}");
        assert_eq!(rejection.kind, Wrong::Malformed, "{body}");
    }
    assert!(split(&Bytes::from_static(b"[\"\xff\"]")).is_err());
}

#[test]
fn a_batch_has_so_many_events_and_no_more() {
    let body = |count: usize| Bytes::from(format!("[{}]", vec!["0"; count].join(",")));
    assert_eq!(split(&body(BATCH_EVENTS_MAX)).unwrap().len(), BATCH_EVENTS_MAX);
    let rejection = split(&body(BATCH_EVENTS_MAX + 1)).unwrap_err();
    assert_eq!(rejection, too_many());
}
