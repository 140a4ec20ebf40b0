use super::*;

#[tokio::test]
async fn a_database_that_does_not_answer_is_left_alone_for_a_while() {
    let rest = Rest::default();
    assert!(rest.is_over());
    assert!(matches!(rest.ask(async { Ok(7) }).await, Ok(7)));
    assert!(rest.is_over(), "it answers");
    let began = Instant::now();
    let silent = rest.ask(std::future::pending::<Result<(), StoreError>>()).await;
    assert!(matches!(silent, Err(Failed::Away)), "{silent:?}");
    assert!(began.elapsed() >= ASK_MAX && !rest.is_over());
}

#[tokio::test]
async fn what_the_database_refuses_is_no_error_of_the_question() {
    let rest = Rest::default();
    let conflict = StoreError::Conflict { what: "a row".into() };
    let refused = rest.ask(async { Err::<(), _>(conflict) }).await;
    assert!(matches!(refused, Err(Failed::Away)), "{refused:?}");
    assert!(rest.is_over(), "others may ask");
    assert_eq!(Failed::Away.unless_away(1).ok(), Some(1));
    assert!(Failed::Problem(Problem::internal()).unless_away(1).is_err());
}
