use super::*;
use crate::email::RECIPIENTS_MAX;

const POINTERS: [&str; 3] = [
    "config/to_addresses/0",
    "config/to_addresses/1",
    "config/recipients/alert.*/0",
];

fn exchange(status: u16, body: &str) -> Exchange {
    Exchange {
        response: Response {
            status,
            headers: Default::default(),
            body: body.to_owned().into(),
            truncated: false,
        },
    }
}

fn expected() -> Vec<Expected<'static>> {
    let all = POINTERS.iter().enumerate();
    all.map(|(number, pointer)| Expected { number, pointer }).collect()
}

/// The numbers of those who are sent to, or the outcome.
fn after(so_far: &[(u16, &str)]) -> Result<Vec<usize>, Outcome> {
    let so_far: Vec<Exchange> = so_far.iter().map(|(status, body)| exchange(*status, body)).collect();
    match next(&expected(), &so_far) {
        Next::Send(numbers) => Ok(numbers),
        Next::Done(outcome) => Err(outcome),
    }
}

fn rejected(reason: &str) -> Result<Vec<usize>, Outcome> {
    Err(Outcome::Reject {
        reason: reason.to_owned(),
    })
}

fn retried(reason: &str, after: Option<Duration>) -> Result<Vec<usize>, Outcome> {
    Err(Outcome::Retry {
        reason: reason.to_owned(),
        after,
    })
}

#[test]
fn all_get_one_transaction_and_then_it_is_delivered() {
    assert_eq!(after(&[]), Ok(vec![0, 1, 2]));
    assert_eq!(
        after(&[(250, r#"{"step":"DATA","got":[0,1,2]}"#)]),
        Err(Outcome::Delivered)
    );
}

#[test]
fn who_is_refused_for_now_is_asked_for_again_and_nobody_else() {
    let some = (250, r#"{"step":"DATA","got":[0,2],"not":[[1,451,"4.7.1"]]}"#);
    assert_eq!(after(&[some]), Ok(vec![1]));
    let again = (451, r#"{"step":"RCPT","why":"4.7.1","not":[[1,451,"4.7.1"]]}"#);
    assert_eq!(
        after(&[some, again]),
        retried(
            "the server answered 451 4.7.1 to RCPT TO: an error of its own; 2 of 3 recipients have it already",
            Some(RECIPIENT_AFTER)
        )
    );
    // The attempt after that knows the step that is finished, and asks for the one who is left.
    assert_eq!(after(&[some]), Ok(vec![1]));
    assert_eq!(
        after(&[some, (250, r#"{"step":"DATA","got":[1]}"#)]),
        Err(Outcome::Delivered)
    );
    // Whatever else went wrong, those who have it are not forgotten.
    assert_eq!(
        after(&[some, (421, r#"{"step":"MAIL"}"#)]),
        retried(
            "the server answered 421 to MAIL FROM: it closes the connection; 2 of 3 recipients have it already",
            None
        )
    );
}

#[test]
fn who_is_refused_for_good_is_told_once_the_others_have_it() {
    let some = (250, r#"{"step":"DATA","got":[0],"not":[[1,451,null],[2,550,"5.1.1"]]}"#);
    assert_eq!(after(&[some]), Ok(vec![1]));
    assert_eq!(
        after(&[some, (250, r#"{"step":"DATA","got":[1]}"#)]),
        rejected(
            "the server refuses 1 of 3 recipients, the others have it: config/recipients/alert.*/0 (550 5.1.1, no such \
             mailbox, or not allowed)"
        )
    );
    let none = r#"{"step":"RCPT","not":[[0,550,null],[1,550,null],[2,559,null]]}"#;
    let Err(Outcome::Reject { reason }) = after(&[(550, none)]) else {
        panic!("nobody is left");
    };
    assert!(
        reason.starts_with("the server refuses 3 of 3 recipients: config/to_addresses/0 (550,"),
        "{reason}"
    );
    assert!(reason.ends_with("config/recipients/alert.*/0 (559)"), "{reason}");
}

#[test]
fn a_login_or_sender_that_is_not_taken_is_the_owners_matter() {
    for (status, body) in [
        (530, r#"{"step":"MAIL","why":"5.7.0"}"#),
        (530, r#"{"step":"RCPT","not":[[0,530,null],[1,530,null],[2,530,null]]}"#),
        (550, r#"{"step":"DATA","why":"5.7.8"}"#),
        (535, r#"{"step":"AUTH","why":"5.7.8"}"#),
        (550, r#"{"step":"MAIL","why":"5.7.1"}"#),
        (553, r#"{"step":"MAIL"}"#),
        (501, r#"{"step":"AUTH"}"#),
        (554, r#"{"step":"HELLO"}"#),
    ] {
        let outcome = after(&[(status, body)]);
        assert!(
            matches!(outcome, Err(Outcome::Suspend { at_once: false, .. })),
            "{body}: {outcome:?}"
        );
    }
}

#[test]
fn a_quota_passes_whatever_it_was_said_to() {
    for (body, step) in [
        (r#"{"step":"MAIL","why":"5.4.5"}"#, "MAIL FROM"),
        (
            r#"{"step":"RCPT","why":"5.4.5","not":[[0,550,"5.1.1"],[1,550,"5.4.5"],[2,550,"5.4.5"]]}"#,
            "RCPT TO",
        ),
        (r#"{"step":"DATA","why":"5.4.5"}"#, "DATA"),
    ] {
        let reason = format!("the server answered 550 5.4.5 to {step}: the account has sent as much as it may for now");
        assert_eq!(after(&[(550, body)]), retried(&reason, Some(QUOTA_AFTER)));
    }
    // Who has it is not asked for again, and nobody is given up.
    let some = (
        250,
        r#"{"step":"DATA","got":[0],"not":[[1,550,"5.4.5"],[2,550,"5.1.1"]]}"#,
    );
    assert_eq!(after(&[some]), Ok(vec![1]));
    let none = (550, r#"{"step":"RCPT","why":"5.4.5","not":[[1,550,"5.4.5"]]}"#);
    let Err(Outcome::Retry { reason, .. }) = after(&[some, none]) else {
        panic!("it passes");
    };
    assert!(reason.ends_with("; 1 of 3 recipients have it already"), "{reason}");
}

/// Each transaction that is followed by another has brought the message to somebody, so that there are never more than
/// recipients, which is fewer than an attempt has room for.
#[test]
fn a_server_that_takes_one_at_a_time_gets_one_transaction_for_each() {
    let mut so_far: Vec<(u16, String)> = Vec::new();
    for number in 0..3 {
        let borrowed: Vec<(u16, &str)> = so_far.iter().map(|(status, body)| (*status, body.as_str())).collect();
        let left: Vec<usize> = (number..3).collect();
        assert_eq!(after(&borrowed), Ok(left.clone()));
        let not: Vec<String> = left[1..].iter().map(|to| format!(r#"[{to},452,null]"#)).collect();
        so_far.push((
            250,
            format!(r#"{{"step":"DATA","got":[{number}],"not":[{}]}}"#, not.join(",")),
        ));
    }
    let borrowed: Vec<(u16, &str)> = so_far.iter().map(|(status, body)| (*status, body.as_str())).collect();
    assert_eq!(after(&borrowed), Err(Outcome::Delivered));
}

/// What is kept of a finished step, in bytes: `STEP_BYTES_MAX` of the worker.
const STEP_BYTES_MAX: usize = 1_024;

#[test]
fn the_record_of_the_most_recipients_is_kept_whole() {
    let not = (1..RECIPIENTS_MAX).map(|to| Refused {
        to,
        code: 550,
        why: Some("5.123.456".to_owned()),
    });
    for (got, not) in [(vec![0], not.collect()), ((0..RECIPIENTS_MAX).collect(), Vec::new())] {
        let answer = Answer {
            code: 250,
            step: Step::Data,
            why: Some("2.123.456".to_owned()),
            got,
            not,
        };
        assert!(answer.response().body.len() < STEP_BYTES_MAX, "{:?}", answer.response());
    }
}

#[test]
fn a_proof_of_the_login_is_enough_for_a_test_and_for_no_mail() {
    let proved = Answer::of(&exchange(250, r#"{"step":"NOOP"}"#).response).expect("a record");
    assert_eq!(by_reply(&proved), Outcome::Delivered);
    assert!(matches!(
        after(&[(250, r#"{"step":"DATA"}"#)]),
        Err(Outcome::Retry { .. })
    ));
    assert!(matches!(after(&[(250, "<html>")]), Err(Outcome::Retry { .. })));
}
