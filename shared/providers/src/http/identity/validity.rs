//! From when until when a certificate is valid: the one thing of it that its owner should hear of before a server says it.
//!
//! TLS itself is left to rustls, which does not tell these times. So much of DER (X.690) is read as leads to them
//! (RFC 5280, section 4.1), and what is not as expected says nothing.

use signalbox_proto::Timestamp;
use time::{Date, Month, PrimitiveDateTime, Time};

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT Version`, left out by version 1.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The times between which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

impl Validity {
    /// Of a certificate in DER; `None` where it cannot be read.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (whole, _) = value(certificate, SEQUENCE)?;
        let (mut rest, _) = value(whole, SEQUENCE)?;
        if let Some((_, behind)) = value(rest, VERSION) {
            rest = behind;
        }
        // Serial number, algorithm of the signature, issuer.
        for tag in [INTEGER, SEQUENCE, SEQUENCE] {
            (_, rest) = value(rest, tag)?;
        }
        let (times, _) = value(rest, SEQUENCE)?;
        let (from, rest) = time(times)?;
        let (until, _) = time(rest)?;
        Some(Self { from, until })
    }
}

/// The value of an element with this tag, and what follows it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    // Below 128 the length itself, else the number of bytes that hold it.
    let (length, rest) = match usize::from(*first) {
        short @ ..=0x7f => (short, rest),
        long @ 0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
            (
                bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)),
                rest,
            )
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A time, and what follows it.
fn time(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let utc = value(der, UTC_TIME).map(|found| (found, 2));
    let ((text, rest), digits) = utc.or_else(|| value(der, GENERALIZED_TIME).map(|found| (found, 4)))?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, text) = text.split_at_checked(digits)?;
    let year: i32 = year.parse().ok()?;
    // RFC 5280, section 4.1.2.5.1: two digits are of 1950 to 2049.
    let year = match (digits, year) {
        (2, 50..) => 1900 + year,
        (2, _) => 2000 + year,
        _ => year,
    };
    let part = |from: usize| text.get(from..from + 2)?.parse::<u8>().ok();
    let date = Date::from_calendar_date(year, Month::try_from(part(0)?).ok()?, part(2)?).ok()?;
    let time = Time::from_hms(part(4)?, part(6)?, part(8)?).ok()?;
    Some((PrimitiveDateTime::new(date, time).assume_utc().into(), rest))
}
