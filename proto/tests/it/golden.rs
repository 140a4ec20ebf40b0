//! The exact bytes of every message. A change here is a change of the wire: the version that still
//! runs beside the new one must be able to read it, and the new one what lies in the streams.
//!
//! `SIGNALBOX_GOLDEN_UPDATE=1` writes the files anew; look at the difference before it is kept.

use std::{env, fmt::Debug, fmt::Write as _, fs, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use signalbox_proto::{state::Gate, wire};

use crate::samples;

/// Bytes in a line of a golden file.
const LINE_BYTES: usize = 32;

fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.hex"));
    let bytes = wire::encode(value).expect("bytes");
    let text = to_text(&bytes);
    if env::var_os("SIGNALBOX_GOLDEN_UPDATE").is_some() {
        fs::write(&path, &text).expect("a golden file");
    }
    let golden = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(
        wire::decode::<T>(&to_bytes(&golden)).expect("golden bytes"),
        *value,
        "{name}: what lies in the streams"
    );
    assert_eq!(text, golden, "{name}: SIGNALBOX_GOLDEN_UPDATE=1 writes it anew");
}

/// The bytes of a golden file.
pub(crate) fn bytes(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.hex"));
    to_bytes(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// Hexadecimal digits, and in a second column what of it can be read.
fn to_text(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(LINE_BYTES) {
        let mut digits = String::new();
        for byte in line {
            write!(digits, "{byte:02x}").expect("a string takes all");
        }
        let readable: String = line
            .iter()
            .map(|byte| {
                if byte.is_ascii_graphic() {
                    char::from(*byte)
                } else {
                    '.'
                }
            })
            .collect();
        writeln!(text, "{digits:<64}  {readable}").expect("a string takes all");
    }
    text
}

fn to_bytes(text: &str) -> Vec<u8> {
    let digits: String = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("hexadecimal digits");
            u8::from_str_radix(pair, 16).expect("hexadecimal digits")
        })
        .collect()
}

#[test]
fn events_keep_their_bytes() {
    check("event", &samples::event());
    check("event-minimal", &samples::event_minimal());
    check("event-with-look", &samples::event_with_look());
}

#[test]
fn deliveries_keep_their_bytes() {
    check("delivery", &samples::delivery());
    check("delivery-minimal", &samples::delivery_minimal());
}

#[test]
fn records_keep_their_bytes() {
    check("attempt", &samples::attempt());
    check("batch", &samples::batch());
}

#[test]
fn dead_letters_and_their_marks_keep_their_bytes() {
    check("dead-letter", &samples::dead_letter());
    check("dead-input", &samples::dead_input());
    check("mark", &samples::mark());
}

#[test]
fn entries_of_the_buckets_keep_their_bytes() {
    check("integration", &samples::integration());
    check("state", &samples::state());
    check("act-replay", &samples::act());
    check("act-discard", &samples::discard());
    check("act-replay-events", &samples::replay_events());
    check("act-discard-waiting", &samples::discard_waiting());
    check("event-type", &samples::registered());
    check("event-type-minimal", &samples::registered_minimal());
    check("event-type-counted", &samples::registered_counted());
    check("key", &samples::key());
    check("key-minimal", &samples::key_minimal());
    check("org", &samples::org());
    check("idempotency", &samples::idempotency());
    check("idempotency-done", &samples::idempotency_done());
    check("manifest", &samples::manifest());
    check("gate-open", &Gate::Open);
    check("gate-closed", &Gate::Closed);
}
