use super::*;

fn minimal() -> Integration {
    let json = serde_json::json!({
        "id": "0199", "org": "acme", "name": "ops", "provider": "webhook", "revision": 1, "status": "active",
        "created_at": 0, "updated_at": 0,
    });
    crate::wire::decode(&crate::wire::encode(&json).expect("bytes")).expect("an integration")
}

#[test]
fn what_is_not_set_has_its_default() {
    let integration = minimal();
    assert_eq!(integration.schedule(), SCHEDULE_SECS);
    assert_eq!(integration.expire_after(), Duration::from_secs(72 * 3_600));
    assert_eq!(integration.timeout(), Duration::from_secs(15));
    assert_eq!(integration.subscription, Subscription::default());
    let set = Integration {
        schedule_secs: Some(vec![1]),
        expire_after_secs: Some(60),
        timeout_secs: Some(1),
        template: None,
        ..integration
    };
    assert_eq!(set.schedule(), [1]);
    assert_eq!(
        (set.expire_after(), set.timeout()),
        (Duration::from_secs(60), Duration::from_secs(1))
    );
}

#[test]
fn the_defaults_keep_the_bounds() {
    assert!(SCHEDULE_SECS.len() <= SCHEDULE_STEPS_MAX && SCHEDULE_SECS.iter().all(|step| STEP_SECS.contains(step)));
    assert!(EXPIRE_AFTER_SECS_RANGE.contains(&EXPIRE_AFTER_SECS) && TIMEOUT_SECS_RANGE.contains(&TIMEOUT_SECS));
}

#[test]
fn secrets_are_not_shown() {
    let secrets = Secrets {
        config: "hunter2".into(),
        credentials: "hunter3".into(),
    };
    assert!(!format!("{secrets:?}").contains("hunter"));
}
