//! The subject of an integration: plain tokens, and some that are filled in for each event.

use signalbox_proto::{EventType, Name, subjects};

use crate::{FieldError, payload::Message};

/// Longest subject as it is written, in bytes. Filled in it is at most some hundred longer.
const SUBJECT_BYTES_MAX: usize = 256;
/// Most tokens of a subject as it is written.
const TOKENS_MAX: usize = 16;
/// The first token of all that Signalbox itself keeps in NATS.
const OURS: &str = "signalbox";
/// The first token of the subjects that answers are sent to: what is published there would pass for one.
const INBOX: &str = "_INBOX";

/// A subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    tokens: Vec<Token>,
    /// The second token after `signalbox.in`, where this is the input of an org.
    input: Option<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Text(String),
    /// The event's type, which may be several tokens.
    Type,
    Org,
    Severity,
}

impl Subject {
    /// Reads a subject and refuses what is not an integration's to publish to, as far as can be said without its org.
    pub(super) fn read(pointer: &str, text: &str) -> Result<Self, FieldError> {
        read(text.trim()).map_err(|message| FieldError::new(pointer, message))
    }

    /// Whether it is the input of an org.
    pub(super) fn is_input(&self) -> bool {
        self.input.is_some()
    }

    /// Refuses the input of another org, with the reason.
    pub(super) fn check_org(&self, own: &Name) -> Result<(), String> {
        match &self.input {
            Some(Token::Text(org)) if org != own.as_str() => Err(format!(
                "is the input of another org: an integration may publish to {}{own} alone",
                subjects::INPUT_PREFIX
            )),
            _ => Ok(()),
        }
    }

    /// Where an event or a digest goes.
    pub(super) fn place(&self, message: &Message<'_>) -> String {
        let mut place = String::with_capacity(SUBJECT_BYTES_MAX);
        for (index, token) in self.tokens.iter().enumerate() {
            if index > 0 {
                place.push('.');
            }
            place.push_str(match token {
                Token::Text(text) => text.as_str(),
                Token::Type => message.event_type,
                Token::Org => message.org,
                Token::Severity => message.severity.as_str(),
            });
        }
        place
    }

    /// The type that an event has which is published to this place; `None` where it is no input.
    pub(super) fn input_type<'p>(&self, place: &'p str) -> Option<&'p str> {
        self.input.as_ref()?;
        let rest = place.strip_prefix(subjects::INPUT_PREFIX)?;
        rest.split_once('.').map(|(_org, event_type)| event_type)
    }
}

fn read(text: &str) -> Result<Subject, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.len() > SUBJECT_BYTES_MAX {
        return Err(format!("is longer than {SUBJECT_BYTES_MAX} bytes"));
    }
    let tokens: Vec<Token> = text.split('.').map(token).collect::<Result<_, _>>()?;
    if tokens.len() > TOKENS_MAX {
        return Err(format!("has more than {TOKENS_MAX} tokens"));
    }
    let first = match tokens.first() {
        Some(Token::Text(first)) => first.as_str(),
        // What an event brings must not choose between the systems of a server.
        _ => return Err("begins with a placeholder: its first token must be a text".to_owned()),
    };
    if first.starts_with('$') || first.eq_ignore_ascii_case(INBOX) {
        return Err("begins with a token that is the server's own: `$…` and `_INBOX` are refused".to_owned());
    }
    let input = if first.eq_ignore_ascii_case(OURS) {
        Some(input(&tokens)?)
    } else {
        None
    };
    Ok(Subject { tokens, input })
}

fn token(text: &str) -> Result<Token, String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'>' | b'{' | b'}');
    match text {
        "{type}" => Ok(Token::Type),
        "{org}" => Ok(Token::Org),
        "{severity}" => Ok(Token::Severity),
        "" => Err("has an empty token".to_owned()),
        "*" | ">" => Err("has a wildcard: events are published to one subject".to_owned()),
        _ if text.contains(['{', '}']) => {
            Err("has a placeholder that is not there: whole tokens may be {type}, {org} or {severity}".to_owned())
        }
        _ if text.bytes().all(is_plain) => Ok(Token::Text(text.to_owned())),
        _ => Err("has a token with other characters than visible ASCII without * and >".to_owned()),
    }
}

/// The org of a subject that begins as ours do. All but the input of an org is refused.
fn input(tokens: &[Token]) -> Result<Token, String> {
    let refused = || {
        let input = subjects::INPUT_PREFIX;
        format!(
            "is one of Signalbox's own: only its input may be published to, {input}{{org}}.{{type}}, or a type of your \
             own in the place of {{type}}"
        )
    };
    let [Token::Text(ours), Token::Text(within), org, rest @ ..] = tokens else {
        return Err(refused());
    };
    if ours != OURS || within != "in" {
        return Err(refused());
    }
    match org {
        Token::Org => {}
        Token::Text(org) if org.parse::<Name>().is_ok() => {}
        _ => return Err(refused()),
    }
    let texts: Option<Vec<&str>> = rest
        .iter()
        .map(|token| match token {
            Token::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    match (rest, texts) {
        ([Token::Type], _) => Ok(org.clone()),
        (_, Some(texts)) if texts.join(".").parse::<EventType>().is_ok() => Ok(org.clone()),
        _ => Err("ends in no type of an event: after the org comes {type}, or one type written out".to_owned()),
    }
}

#[cfg(test)]
mod tests;
