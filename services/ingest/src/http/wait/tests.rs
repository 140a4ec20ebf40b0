use super::*;

fn headers(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append("prefer", HeaderValue::from_str(value).expect("a header's value"));
    }
    headers
}

#[test]
fn the_first_wait_that_can_be_read_counts() {
    for (values, secs) in [
        (&["wait=10"][..], Some(10)),
        (&["WAIT = 10"], Some(10)),
        (&["respond-async, wait=\"7\"; x=1"], Some(7)),
        (&["return=minimal", "wait=5"], Some(5)),
        (&["wait=5, wait=9"], Some(5)),
        // More than the most is the most.
        (&["wait=61"], Some(60)),
        (&["wait=99999999999999999999999"], Some(60)),
        (&[], None),
        (&["wait"], None),
        (&["wait="], None),
        (&["wait=0"], None),
        (&["wait=-1"], None),
        (&["wait=+5"], None),
        (&["wait=1.5"], None),
        (&["wait=10s"], None),
        (&["await=10"], None),
    ] {
        assert_eq!(
            preference(&headers(values)),
            secs.map(Duration::from_secs),
            "{values:?}"
        );
    }
}
