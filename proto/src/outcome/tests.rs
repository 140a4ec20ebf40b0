use super::*;

#[test]
fn an_outcome_has_one_name_and_a_reason_unless_delivered() {
    let reason = || "no".to_owned();
    for (outcome, kind, said) in [
        (Outcome::Delivered, OutcomeKind::Delivered, None),
        (
            Outcome::Retry {
                reason: reason(),
                after: None,
            },
            OutcomeKind::Retry,
            Some("no"),
        ),
        (Outcome::Reject { reason: reason() }, OutcomeKind::Reject, Some("no")),
        (
            Outcome::Suspend {
                reason: reason(),
                at_once: true,
            },
            OutcomeKind::Suspend,
            Some("no"),
        ),
    ] {
        assert_eq!((outcome.kind(), outcome.reason()), (kind, said));
    }
}
