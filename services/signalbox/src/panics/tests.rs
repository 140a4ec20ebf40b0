use std::{
    env,
    panic::{UnwindSafe, catch_unwind},
    process::{Command, Output},
};

use signalbox_runtime::telemetry;

use super::*;

const SECRET: &str = "Zqpanics+ä41f7";
/// Set for a process that is to panic, to what it says of its log.
const PANICS: &str = "PANICS_OF_A_TEST";

/// Panics of the usual kinds that have a secret at hand.
fn panics() -> [fn(); 4] {
    [
        || panic!("cannot take {}", String::from(SECRET)),
        || drop(serde_json::from_str::<Vec<u8>>(&format!("{SECRET:?}")).expect("it was checked before")),
        || assert!(SECRET.split_at("Zqpanics+".len() + 1).0.is_empty()),
        || assert_eq!(SECRET.to_owned(), "nothing", "they are the same"),
    ]
}

fn payload(panics: impl FnOnce() + UnwindSafe) -> Box<dyn Any + Send> {
    catch_unwind(panics).expect_err("it panics")
}

#[test]
fn a_text_of_a_panic_is_told_only_where_it_stands_in_the_source() {
    assert_eq!(
        literal(&*payload(|| panic!("nobody holds it"))),
        Some("nobody holds it")
    );
    for panics in panics() {
        let payload = payload(panics);
        let text = payload.downcast_ref::<String>().expect("it was put together");
        assert!(text.contains("Zqpanics"), "{text}");
        assert_eq!(literal(&*payload), None, "{text}");
    }
}

/// Runs this test alone in a process of its own.
fn again(log: &str) -> Output {
    let name = "panics::tests::what_a_process_says_of_its_panics_holds_no_secret";
    Command::new(env::current_exe().expect("this program"))
        .args(["--exact", name, "--nocapture"])
        .env(PANICS, log)
        .env("RUST_BACKTRACE", "1")
        .output()
        .expect("it starts")
}

#[test]
fn what_a_process_says_of_its_panics_holds_no_secret() {
    if let Some(log) = env::var_os(PANICS) {
        install();
        if log == "json" {
            let log = telemetry::Log {
                level: "trace".to_owned(),
                format: telemetry::Format::Json,
            };
            telemetry::init(&log).expect("a log");
        }
        for panics in panics() {
            // As of a task: the process goes on.
            drop(payload(panics));
        }
        return;
    }
    for log in ["none", "json"] {
        let output = again(log);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(said.matches("panicked").count(), panics().len(), "{log}: {said}");
        assert_eq!(said.matches(LEFT_OUT).count(), panics().len(), "{log}: {said}");
        let place = file!();
        assert!(said.contains(&format!("{place}:")), "{log}: {said}");
        assert!(!said.contains("Zqpanics") && !said.contains("41f7"), "{log}: {said}");
        assert_eq!(said.contains("\"panic.place\""), log == "json", "{said}");
    }
}
