//! What a server says of a transaction, in codes.

use std::fmt;

use ::http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::http::Response;

/// The enhanced code of a mail system that is congested (RFC 3463, section 3.5). With 550 it is how Google says that an account has
/// sent its mails of the day: <https://support.google.com/a/answer/166852>.
pub const QUOTA: &str = "5.4.5";

/// The command that an answer was given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// None: what a server greets us with.
    #[serde(rename = "HELLO")]
    Greeting,
    /// `EHLO`: who we are.
    #[serde(rename = "EHLO")]
    Ehlo,
    /// `STARTTLS`.
    #[serde(rename = "TLS")]
    StartTls,
    /// `AUTH`.
    #[serde(rename = "AUTH")]
    Auth,
    /// `NOOP`, with which a login ends that is only tried.
    #[serde(rename = "NOOP")]
    Noop,
    /// `MAIL FROM`: the sender.
    #[serde(rename = "MAIL")]
    Mail,
    /// `RCPT TO`: the recipients, none of whom was taken.
    #[serde(rename = "RCPT")]
    Rcpt,
    /// `DATA` and the message behind it.
    #[serde(rename = "DATA")]
    Data,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "the connection",
            Self::Ehlo => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Noop => "NOOP",
            Self::Mail => "MAIL FROM",
            Self::Rcpt => "RCPT TO",
            Self::Data => "DATA",
        })
    }
}

/// What became of a transaction. As a [`Response`] its code is the status and the rest the body, as JSON: so a step of a
/// delivery is kept with all that the next one needs. Names are short, as no secret that is taken out of answers is, and
/// thirty recipients fit into what is kept of a step (1 KiB): of one that is cut nobody would know who has the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The code that decided (RFC 5321, section 4.2): 250 where the message was taken for somebody.
    #[serde(skip)]
    pub code: u16,
    /// What it was given to.
    pub step: Step,
    /// The enhanced code beside it (RFC 3463), `5.1.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The numbers of those who have the message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub got: Vec<usize>,
    /// Those who were refused, each by the code of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not: Vec<Refused>,
}

/// A recipient that a server does not take. Written `[1,550,"5.1.1"]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(usize, u16, Option<String>)", from = "(usize, u16, Option<String>)")]
pub struct Refused {
    /// The number of the recipient.
    pub to: usize,
    /// The code: 4xx for now, 5xx for good.
    pub code: u16,
    /// The enhanced code beside it.
    pub why: Option<String>,
}

impl Refused {
    /// Whether the recipient will never be taken.
    pub fn is_for_good(&self) -> bool {
        is_for_good(self.code, self.why.as_deref())
    }
}

impl From<Refused> for (usize, u16, Option<String>) {
    fn from(Refused { to, code, why }: Refused) -> Self {
        (to, code, why)
    }
}

impl From<(usize, u16, Option<String>)> for Refused {
    fn from((to, code, why): (usize, u16, Option<String>)) -> Self {
        Self { to, code, why }
    }
}

impl Answer {
    /// One that concerns no recipient.
    pub(super) fn to(step: Step, (code, why): (u16, Option<String>)) -> Self {
        Self {
            code,
            step,
            why,
            got: Vec::new(),
            not: Vec::new(),
        }
    }

    /// Reads what [`Self::response`] wrote; `None` for what it did not write.
    pub fn of(response: &Response) -> Option<Self> {
        let answer: Self = serde_json::from_slice(&response.body).ok()?;
        Some(Self {
            code: response.status,
            ..answer
        })
    }

    /// In the form of an answer over HTTP.
    pub fn response(&self) -> Response {
        Response {
            status: self.code,
            headers: HeaderMap::new(),
            body: serde_json::to_vec(self).expect("it is written to memory").into(),
            truncated: false,
        }
    }
}

/// Whether a refusal by this code, with the enhanced one beside it, stays one: 5xx, but where the account has sent as much as it
/// may for now.
pub fn is_for_good(code: u16, why: Option<&str>) -> bool {
    code >= 500 && why != Some(QUOTA)
}

/// The enhanced code that the text of a reply begins with: a class of 2, 4 or 5 and two numbers of at most three digits.
pub(super) fn enhanced(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?;
    let mut parts = word.split('.');
    let class = parts.next().filter(|class| matches!(*class, "2" | "4" | "5"));
    let mut number = || {
        let part = parts.next()?;
        ((1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())).then_some(())
    };
    (class.is_some() && number().is_some() && number().is_some() && parts.next().is_none()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_from_its_response() {
        let answer = Answer {
            code: 250,
            step: Step::Data,
            why: Some("2.0.0".to_owned()),
            got: vec![0, 2],
            not: vec![Refused {
                to: 1,
                code: 550,
                why: Some("5.1.1".to_owned()),
            }],
        };
        let response = answer.response();
        assert_eq!(
            response.body,
            r#"{"step":"DATA","why":"2.0.0","got":[0,2],"not":[[1,550,"5.1.1"]]}"#
        );
        assert_eq!(Answer::of(&response), Some(answer));
        let page = Response {
            body: "<html>".into(),
            ..response
        };
        assert_eq!(Answer::of(&page), None);
    }

    #[test]
    fn what_is_refused_for_good_is_5xx_but_for_a_quota() {
        for (code, why, for_good) in [
            (550, Some("5.1.1"), true),
            (554, None, true),
            (550, Some(QUOTA), false),
            (450, Some("4.2.1"), false),
            (421, None, false),
        ] {
            assert_eq!(is_for_good(code, why), for_good, "{code} {why:?}");
        }
    }

    #[test]
    fn an_enhanced_code_is_three_numbers_at_the_beginning() {
        assert_eq!(enhanced("5.1.1 no such user").as_deref(), Some("5.1.1"));
        assert_eq!(enhanced("4.7.650").as_deref(), Some("4.7.650"));
        for other in [
            "",
            "no such user",
            "5.1",
            "5.1.1.1",
            "3.1.1",
            "5.1.1234",
            "5.a.1",
            "5..1",
            "hush 5.1.1",
        ] {
            assert_eq!(enhanced(other), None, "{other}");
        }
    }
}
