use super::*;

#[test]
fn a_delivery_expires_by_its_integration_or_by_the_default() {
    let since = Timestamp::from_secs(1_000);
    let minute = Some(Duration::from_secs(60));
    assert!(!is_expired(since, minute, Timestamp::from_secs(1_059)));
    assert!(is_expired(since, minute, Timestamp::from_secs(1_060)));
    let default = i64::from(EXPIRE_AFTER_SECS);
    assert!(!is_expired(since, None, Timestamp::from_secs(999 + default)));
    assert!(is_expired(since, None, Timestamp::from_secs(1_000 + default)));
}
