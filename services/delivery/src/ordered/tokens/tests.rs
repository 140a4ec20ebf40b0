use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn tokens_are_asked_for_once_and_used_when_they_are_due() {
    let mut tokens = Tokens::default();
    assert_eq!(tokens.take("a", at(0)), Token::Ask);
    assert_eq!(tokens.take("a", at(0)), Token::Asked);
    tokens.told("a", vec![at(10), at(20)], Some(at(1_000)), Some(at(30)));
    assert_eq!(tokens.take("a", at(5)), Token::At(at(10)));
    assert_eq!(tokens.take("a", at(10)), Token::Yes);
    assert_eq!(tokens.take("a", at(25)), Token::Yes);
    assert_eq!(tokens.take("a", at(25)), Token::At(at(30)));
    assert_eq!(tokens.take("a", at(30)), Token::Ask);
}

#[test]
fn tokens_of_a_span_that_is_over_are_worth_nothing() {
    let mut tokens = Tokens::default();
    tokens.told("a", vec![at(10), at(20)], Some(at(100)), None);
    assert_eq!(tokens.take("a", at(100)), Token::Ask);
}

#[test]
fn a_token_that_was_not_used_goes_to_the_next_and_a_failure_waits() {
    let mut tokens = Tokens::default();
    tokens.told("a", vec![at(10)], None, None);
    assert_eq!(tokens.take("a", at(10)), Token::Yes);
    tokens.unused("a", at(10));
    assert_eq!(tokens.take("a", at(10)), Token::Yes);
    assert_eq!(tokens.take("a", at(10)), Token::Ask);
    tokens.failed("a", at(10));
    assert_eq!(tokens.take("a", at(11)), Token::At(at(1_010)));
}
