//! One token: how long it counts, how it is sent, and how it is taken out of what comes back.

use std::{borrow::Cow, time::Duration};

use ::http::HeaderValue;
use serde::{Deserialize, Serialize};
use signalbox_proto::Timestamp;

use super::answer::Granted;
use crate::{
    Secret,
    http::{Auth, Response, secret_value},
    redact::Redactor,
};

/// A token is renewed so long before its end, or a tenth of its life where that is more.
const RENEWED_BEFORE: Duration = Duration::from_secs(60);
/// Two ends that are no further apart are the same: endpoints name whole seconds, and answers take their time.
const SAME_END: Duration = Duration::from_secs(5);
/// Part of its life in which no token is renewed, however short it lives.
const LEFT_ALONE: f64 = 0.5;

/// A token that is there. It is printed nowhere.
pub(super) struct Token {
    secret: Secret,
    header: HeaderValue,
    redactor: Redactor,
    /// When it was asked for.
    obtained: Timestamp,
    /// From when on it is better renewed.
    ages: Timestamp,
    expires: Timestamp,
}

/// A token as it lies in a vault.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    /// What it was asked for with, as a digest.
    of: Cow<'a, [u8]>,
    token: Cow<'a, str>,
    obtained: Timestamp,
    expires: Timestamp,
}

impl Token {
    /// A token that was asked for at `obtained`: the time that the answer took is none of its life. `spread`, from 0 to 1,
    /// keeps processes from renewing it all at once.
    pub(super) fn of(granted: &Granted, obtained: Timestamp, spread: f64) -> Option<Self> {
        Self::read(&granted.secret, obtained, obtained + granted.life, spread)
    }

    fn read(secret: &Secret, obtained: Timestamp, expires: Timestamp, spread: f64) -> Option<Self> {
        let header = secret_value(&format!("Bearer {}", secret.expose())).ok()?;
        let life = expires.since(obtained);
        let before = RENEWED_BEFORE.max(life / 10).mul_f64(1.0 + spread / 2.0);
        Some(Self {
            redactor: Redactor::of(&[secret.expose().to_owned()]),
            secret: secret.clone(),
            header,
            obtained,
            ages: expires - before.min(life.mul_f64(LEFT_ALONE)),
            expires,
        })
    }

    /// What a vault keeps of it.
    pub(super) fn to_kept(&self, of: &[u8; 16]) -> Secret {
        let kept = Kept {
            of: of.into(),
            token: self.secret.expose().into(),
            obtained: self.obtained,
            expires: self.expires,
        };
        let text = serde_json::to_string(&kept).expect("texts and numbers are always written");
        text.as_str().into()
    }

    /// Reads what a vault keeps; `None` where it is of another version, or was asked for with something else.
    pub(super) fn from_kept(kept: &Secret, of: &[u8; 16], spread: f64) -> Option<Self> {
        let kept: Kept<'_> = serde_json::from_str(kept.expose()).ok()?;
        if *kept.of != of[..] {
            return None;
        }
        Self::read(&kept.token.as_ref().into(), kept.obtained, kept.expires, spread)
    }

    pub(super) fn is_usable(&self, now: Timestamp) -> bool {
        now < self.expires
    }

    pub(super) fn is_aged(&self, now: Timestamp) -> bool {
        now >= self.ages
    }

    /// How long it still counts.
    pub(super) fn left(&self, now: Timestamp) -> Duration {
        self.expires.since(now)
    }

    /// Whether it is the same text, whenever it came.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.secret.expose() == other.secret.expose()
    }

    /// Whether it is the same text and counts no longer: its endpoint has no other before it ends.
    pub(super) fn is_no_later(&self, other: &Self) -> bool {
        self.is_same(other) && self.expires <= other.expires + SAME_END
    }

    /// The same, not renewed before its end: each time it would be the same again, for half of what is left.
    pub(super) fn not_renewed(self) -> Self {
        Self {
            ages: self.expires,
            ..self
        }
    }

    /// Whether it is another than this one, and not an older.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        !self.is_same(other) && self.obtained >= other.obtained
    }

    pub(super) fn auth(&self) -> Auth {
        Auth::Authorization(self.header.clone())
    }

    /// An answer that does not repeat the token, in headers and body.
    pub(super) fn taken_out_of(&self, response: Response) -> Response {
        self.redactor.response(response)
    }
}

#[cfg(test)]
mod tests;
