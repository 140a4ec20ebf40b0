use super::*;
use crate::http::oauth2::answer::Granted;

const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

fn after(secs: u64) -> Timestamp {
    NOW + Duration::from_secs(secs)
}

fn granted(secret: &str, life_secs: u64) -> Granted {
    Granted {
        secret: secret.into(),
        life: Duration::from_secs(life_secs),
    }
}

fn token(secret: &str, obtained: Timestamp) -> Token {
    Token::of(&granted(secret, 300), obtained, 0.0).expect("a token")
}

/// What a look says, in a word; its turn, if it has one, goes back.
fn look(slot: &Arc<Slot>, now: Timestamp) -> &'static str {
    match slot.look(now) {
        Look::Use(_, None) => "use",
        Look::Use(_, Some(_)) => "use and renew",
        Look::Fail(_) => "fail",
        Look::Wait(_, None) => "wait",
        Look::Wait(_, Some(turn)) => match turn.known() {
            None => "fetch",
            Some(_) => "fetch another",
        },
    }
}

/// The turn of whoever looks first at a slot that needs a token.
fn turn(slot: &Arc<Slot>, now: Timestamp) -> Turn {
    match slot.look(now) {
        Look::Use(_, Some(turn)) | Look::Wait(_, Some(turn)) => turn,
        _ => panic!("no turn is needed"),
    }
}

fn bring(slot: &Arc<Slot>, secret: &str, now: Timestamp) -> Arc<Token> {
    turn(slot, now).bring(token(secret, now))
}

#[test]
fn a_token_is_used_then_renewed_then_fetched() {
    let slot = Arc::default();
    assert_eq!(look(&slot, NOW), "fetch");
    bring(&slot, "a", NOW);
    for (secs, word) in [
        (0, "use"),
        (239, "use"),
        (240, "use and renew"),
        (299, "use and renew"),
        (300, "fetch"),
    ] {
        assert_eq!(look(&slot, after(secs)), word, "{secs}");
    }
}

#[tokio::test]
async fn one_fetches_and_all_hear_what_it_brought() {
    let slot = Arc::default();
    let turn = turn(&slot, NOW);
    let waits = [(); 3].map(|()| match slot.look(NOW) {
        Look::Wait(wait, None) => wait,
        _ => panic!("there is neither a token nor a second turn"),
    });
    turn.bring(token("a", NOW));
    for wait in waits {
        assert!(wait.end().await.expect("a token").is_same(&token("a", NOW)));
    }
    // While one renews, all others use what there is, and nobody renews beside it.
    let renewing = self::turn(&slot, after(240));
    assert_eq!(look(&slot, after(241)), "use");
    renewing.bring(token("b", after(240)));
    assert_eq!(look(&slot, after(299)), "use");
}

#[tokio::test]
async fn a_turn_that_is_dropped_leaves_nobody_waiting_and_goes_to_the_next() {
    let slot = Arc::default();
    let turn = turn(&slot, NOW);
    let Look::Wait(wait, None) = slot.look(NOW) else {
        panic!("one fetches")
    };
    drop(turn);
    let Err(failure) = wait.end().await else {
        panic!("nothing was brought")
    };
    assert!(!failure.is_refusal(), "{failure:?}");
    assert_eq!(look(&slot, NOW), "fetch");
    // One that has ended takes nothing away from the next.
    self::turn(&slot, NOW).fail(Failure::passing("later"), NOW);
    let next = self::turn(&slot, after(1));
    assert_eq!(look(&slot, after(1)), "wait");
    drop(next);
}

#[test]
fn an_endpoint_that_failed_is_left_alone_and_a_token_that_still_counts_is_used() {
    let slot = Arc::default();
    turn(&slot, NOW).fail(Failure::refused("it was"), NOW);
    assert_eq!((look(&slot, after(9)), look(&slot, after(10))), ("fail", "fetch"));
    bring(&slot, "a", after(10));
    turn(&slot, after(250)).fail(Failure::refused("it was"), after(250));
    assert_eq!(
        (look(&slot, after(251)), look(&slot, after(261))),
        ("use", "use and renew")
    );
}

#[test]
fn a_token_that_the_target_refuses_is_given_up_once_in_a_while() {
    let slot = Arc::default();
    let first = bring(&slot, "a", NOW);
    assert!(slot.give_up(&first, after(1)));
    assert_eq!(look(&slot, after(1)), "fetch another");
    // Others that were refused with it wait for what comes instead.
    assert!(slot.give_up(&first, after(1)));
    let second = bring(&slot, "b", after(1));
    assert!(slot.give_up(&first, after(2)), "there is another by now");
    // The target refuses the new one as well: it is not the token.
    assert!(!slot.give_up(&second, after(2)));
    assert_eq!(look(&slot, after(2)), "use");
    assert!(slot.give_up(&second, after(7)));
}

#[test]
fn a_token_that_is_refused_while_it_is_renewed_is_used_no_more() {
    let slot = Arc::default();
    let first = bring(&slot, "a", NOW);
    let renewing = turn(&slot, after(250));
    assert!(slot.give_up(&first, after(251)));
    assert_eq!(look(&slot, after(251)), "wait");
    renewing.fail(Failure::passing("later"), after(251));
    assert_eq!(
        (look(&slot, after(251)), look(&slot, after(252))),
        ("fail", "fetch another")
    );
}

#[test]
fn an_endpoint_that_gives_the_same_token_again_is_not_asked_for_each_request() {
    let slot = Arc::default();
    let first = bring(&slot, "a", NOW);
    assert!(slot.give_up(&first, NOW));
    bring(&slot, "a", after(1));
    assert_eq!(look(&slot, after(1)), "use");
    // It has no other until this one ends: what is left is not halved again and again.
    let again = |life| Token::of(&granted("a", life), after(241), 0.0).expect("a token");
    turn(&slot, after(241)).bring(again(60));
    assert_eq!((look(&slot, after(300)), look(&slot, after(301))), ("use", "fetch"));
    // One that gives it a longer life is asked for that in time.
    let slot = Arc::default();
    bring(&slot, "a", NOW);
    turn(&slot, after(241)).bring(again(300));
    assert_eq!(
        (look(&slot, after(400)), look(&slot, after(481))),
        ("use", "use and renew")
    );
}
