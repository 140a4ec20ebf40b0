use proptest::prelude::*;
use signalbox_proto::idempotency::Try;

use super::*;

const HOLD_MS: u32 = 10_000;
const SEED: Uuid = Uuid::from_u128(0x0193_4e2d_7c00_7abc_8def_0123_4567_89ab);

fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn key(value: &str) -> Result<Option<String>, Problem> {
    key_of(&headers(&[(HEADER, value)]))
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn stand(known: Option<Known>, request: &str, now: i64) -> Standing {
    standing(known, request, SEED, at(now), HOLD_MS)
}

/// What a first request writes, as the bucket holds it.
fn written(at: Timestamp) -> Known {
    match stand(None, "one", 0) {
        Standing::Free { record, revision: 0 } => Known {
            record,
            revision: 5,
            at,
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_is_1_to_255_visible_characters_and_loses_one_pair_of_quotes() {
    assert_eq!(key_of(&HeaderMap::new()).unwrap(), None);
    let long = "k".repeat(KEY_BYTES_MAX);
    for (value, expected) in [
        ("a", "a"),
        ("\"a-b\"", "a-b"),
        ("\"\"a\"\"", "\"a\""),
        ("\"", "\""),
        ("\"a", "\"a"),
        (long.as_str(), long.as_str()),
        (&format!("\"{long}\""), long.as_str()),
    ] {
        assert_eq!(key(value).unwrap().as_deref(), Some(expected), "{value}");
    }
    for value in ["", "\"\"", "a b", "ä", "a\tb", &format!("{long}k")] {
        let problem = key(value).unwrap_err();
        assert_eq!(
            (problem.status, problem.code, problem.field.as_deref()),
            (StatusCode::BAD_REQUEST, "invalid", Some(HEADER)),
            "{value:?}"
        );
    }
    let two = headers(&[(HEADER, "a"), (HEADER, "a")]);
    assert_eq!(key_of(&two).unwrap_err().code, "invalid");
}

#[tokio::test]
async fn a_request_is_the_same_by_org_content_type_ce_headers_and_body() {
    let hash = async |org: &str, list: &[(&'static str, &str)], body: &'static str| {
        fingerprint(
            &org.parse().unwrap(),
            &headers(list),
            &Bytes::from_static(body.as_bytes()),
        )
        .await
        .unwrap()
    };
    let json = ("content-type", "application/json");
    let (a, b) = (("ce-a", "1"), ("ce-b", "2"));
    let same = hash("acme", &[json, a, b], "{}").await;
    assert_eq!(same, hash("acme", &[b, json, a, ("traceparent", "x")], "{}").await);
    for other in [
        hash("other", &[json, a, b], "{}").await,
        hash("acme", &[("content-type", "application/msgpack"), a, b], "{}").await,
        hash("acme", &[json, a], "{}").await,
        hash("acme", &[json, ("ce-a", "2"), ("ce-b", "1")], "{}").await,
        hash("acme", &[json, a, b], "{ }").await,
    ] {
        assert_ne!(same, other);
    }
}

#[tokio::test]
async fn a_large_body_has_a_hash_of_its_own_too() {
    let hash = async |last: u8| {
        let mut body = vec![b' '; HASHED_HERE_BYTES_MAX];
        body.push(last);
        fingerprint(&Name::default_org(), &HeaderMap::new(), &body.into())
            .await
            .unwrap()
    };
    assert_eq!(hash(b'1').await, hash(b'1').await);
    assert_ne!(hash(b'1').await, hash(b'2').await);
}

#[test]
fn a_new_key_is_free() {
    let record = written(at(0)).record;
    assert_eq!(
        (record.request.as_str(), record.hold_ms, record.ids),
        ("one", HOLD_MS, None)
    );
    assert_eq!((record.seed, record.tries), (SEED.to_string(), Vec::new()));
}

#[test]
fn a_key_of_another_request_is_reused_whatever_became_of_that() {
    let known = written(at(100));
    let done = Known {
        record: known.record.done(vec!["a".into()]),
        ..known.clone()
    };
    assert_eq!(stand(Some(known.clone()), "two", 101), Standing::Reused);
    assert_eq!(stand(Some(known), "two", 1_000), Standing::Reused);
    assert_eq!(stand(Some(done), "two", 1_000), Standing::Reused);
}

#[test]
fn a_request_that_is_done_is_answered_with_its_ids_at_any_time() {
    let known = written(at(100));
    let ids = vec!["a".to_owned(), "b".to_owned()];
    let done = Known {
        record: known.record.done(ids.clone()),
        ..known
    };
    for now in [0, 100, 105, 80_000] {
        assert_eq!(stand(Some(done.clone()), "one", now), Standing::Done(ids.clone()));
    }
}

#[test]
fn an_unfinished_request_is_under_way_until_its_time_is_over_and_is_then_taken_over_with_its_seed() {
    for now in [90, 100, 109] {
        assert_eq!(stand(Some(written(at(100))), "one", now), Standing::UnderWay, "{now}");
    }
    let Standing::Free { record, revision } = standing(Some(written(at(100))), "one", Uuid::nil(), at(110), 7) else {
        panic!("its time is over");
    };
    let tries = vec![Try {
        from: at(100),
        until: at(110),
    }];
    assert_eq!((revision, record.tries), (5, tries));
    assert_eq!((record.seed, record.hold_ms, record.ids), (SEED.to_string(), 7, None));
}

#[test]
fn who_is_told_to_come_again_is_told_when() {
    let problem = under_way();
    assert_eq!(
        (problem.status, problem.code),
        (StatusCode::CONFLICT, "idempotency_in_progress")
    );
    assert_eq!(
        problem.headers,
        [(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECS))]
    );
}

proptest! {
    #[test]
    fn ids_are_the_same_for_the_same_place_and_no_others(seed: u128, one in 0_usize..1_000, other in 0_usize..1_000) {
        let seed = Uuid::from_u128(seed);
        prop_assert_eq!(event_id(seed, one), event_id(seed, one));
        prop_assert_eq!(event_id(seed, one) == event_id(seed, other), one == other);
    }
}

#[test]
fn an_id_is_still_a_uuid_of_version_7() {
    let id: Uuid = event_id(SEED, 999).parse().unwrap();
    assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
}
