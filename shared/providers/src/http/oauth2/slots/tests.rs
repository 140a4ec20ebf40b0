use super::*;
use crate::http::oauth2::answer::Granted;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

fn after(secs: u64) -> Timestamp {
    NOW + Duration::from_secs(secs)
}

fn token(secret: &str, obtained: Timestamp) -> Arc<Token> {
    let granted = Granted {
        secret: secret.into(),
        life: Duration::from_secs(300),
    };
    Arc::new(Token::of(&granted, obtained, 0.0).expect("a token"))
}

/// What a look says, in a word.
fn look(slot: &Slot, now: Timestamp) -> &'static str {
    match slot.look(now) {
        Look::Use(_) => "use",
        Look::Renew(_) => "renew",
        Look::Fail(_) => "fail",
        Look::Fetch(None) => "fetch",
        Look::Fetch(Some(_)) => "fetch another",
    }
}

#[test]
fn a_token_is_used_then_renewed_then_fetched() {
    let slot = Slot::default();
    assert_eq!(look(&slot, NOW), "fetch");
    slot.keep(token("a", NOW));
    for (secs, word) in [(0, "use"), (239, "use"), (240, "renew"), (299, "renew"), (300, "fetch")] {
        assert_eq!(look(&slot, after(secs)), word, "{secs}");
    }
}

#[test]
fn an_endpoint_that_failed_is_left_alone_and_a_token_that_still_counts_is_used() {
    let slot = Slot::default();
    slot.fail(Failure::refused("it was"), NOW);
    assert_eq!((look(&slot, after(9)), look(&slot, after(10))), ("fail", "fetch"));
    slot.keep(token("a", NOW));
    slot.fail(Failure::refused("it was"), after(240));
    assert_eq!((look(&slot, after(241)), look(&slot, after(251))), ("use", "renew"));
}

#[test]
fn a_token_that_the_target_refuses_is_given_up_once_in_a_while() {
    let slot = Slot::default();
    let (first, second) = (token("a", NOW), token("b", after(1)));
    slot.keep(first.clone());
    assert!(slot.give_up(&first, after(1)));
    assert_eq!(look(&slot, after(1)), "fetch another");
    // Others that were refused with it wait for what comes instead.
    assert!(slot.give_up(&first, after(1)));
    slot.keep(second.clone());
    assert!(slot.give_up(&first, after(2)), "there is another by now");
    // The target refuses the new one as well: it is not the token.
    assert!(!slot.give_up(&second, after(2)));
    assert_eq!(look(&slot, after(2)), "use");
    assert!(slot.give_up(&second, after(7)));
}

#[test]
fn an_endpoint_that_gives_the_same_token_again_is_not_asked_for_each_request() {
    let slot = Slot::default();
    slot.keep(token("a", NOW));
    assert!(slot.give_up(&token("a", NOW), NOW));
    slot.keep(token("a", after(1)));
    assert_eq!(look(&slot, after(1)), "use");
}
