//! Addresses, as an owner writes them, and who gets what.

use std::collections::BTreeMap;

use lettre::{Address, message::Mailbox};
use signalbox_proto::{Delivery, pattern::Pattern};
use url::Host;

use crate::{FieldError, fields};

/// Most addresses of an integration. Each may need a transaction of its own, as some servers take one at a time, and an
/// attempt has room for so many. A list of the mail server's own has no such bound.
pub const RECIPIENTS_MAX: usize = 30;
/// Bytes of what stands before the `@` (RFC 5321, section 4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;
/// Bytes of an address: those of a path without its brackets (section 4.5.3.1.3).
const ADDRESS_BYTES_MAX: usize = 254;
/// Characters of the name beside an address.
const NAME_CHARS_MAX: usize = 100;
/// Characters of both.
const MAILBOX_CHARS_MAX: usize = ADDRESS_BYTES_MAX + NAME_CHARS_MAX + 5;

/// One address with what it gets.
#[derive(Debug)]
pub(super) struct Recipient {
    pub(super) mailbox: Mailbox,
    /// Where it stands, the first time.
    pub(super) pointer: String,
    wants: Wants,
}

#[derive(Debug)]
enum Wants {
    All,
    Types(Vec<Pattern>),
}

impl Recipient {
    /// Whether one of the events of a delivery is for it.
    pub(super) fn gets(&self, delivery: &Delivery) -> bool {
        match &self.wants {
            Wants::All => true,
            Wants::Types(patterns) => delivery.events.iter().any(|accepted| {
                let event_type = &accepted.event.event_type;
                patterns.iter().any(|pattern| pattern.matches(event_type))
            }),
        }
    }
}

/// Reads both lists: those who get every event, and those who get some types. An address that stands twice is one.
pub(super) fn read(all: &[String], by_type: &BTreeMap<String, Vec<String>>) -> Result<Vec<Recipient>, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut recipients: Vec<Recipient> = Vec::new();
    let mut add = |pointer: String, text: &str, pattern: Option<&Pattern>, errors: &mut Vec<FieldError>| {
        let Some(mailbox) = fields::keep(mailbox(&pointer, text), errors) else {
            return;
        };
        let known = recipients.iter_mut().find(|known| known.mailbox.email == mailbox.email);
        match (known, pattern) {
            (Some(known), None) => known.wants = Wants::All,
            (Some(known), Some(pattern)) => {
                if let Wants::Types(patterns) = &mut known.wants {
                    patterns.push(pattern.clone());
                }
            }
            (None, pattern) => recipients.push(Recipient {
                mailbox,
                pointer,
                wants: pattern.map_or(Wants::All, |pattern| Wants::Types(vec![pattern.clone()])),
            }),
        }
    };
    for (index, text) in all.iter().enumerate() {
        add(format!("config/to_addresses/{index}"), text, None, &mut errors);
    }
    for (key, list) in by_type {
        let pointer = format!("config/recipients/{key}");
        let pattern = key
            .parse::<Pattern>()
            .map_err(|error| FieldError::new(&*pointer, error.to_string()));
        let pattern = fields::keep(pattern, &mut errors);
        if list.is_empty() {
            errors.push(FieldError::new(
                &*pointer,
                "is empty: give it an address, or take it out",
            ));
        }
        for (index, text) in list.iter().enumerate() {
            // One whose type is wrong is told all the same what is wrong with itself.
            add(format!("{pointer}/{index}"), text, pattern.as_ref(), &mut errors);
        }
    }
    if recipients.is_empty() && errors.is_empty() {
        let message = "is missing: give addresses that get every event, or recipients by type of event";
        errors.push(FieldError::new("config/to_addresses", message));
    }
    if recipients.len() > RECIPIENTS_MAX {
        let field = if by_type.is_empty() {
            "to_addresses"
        } else {
            "recipients"
        };
        let message = format!("makes more than {RECIPIENTS_MAX} addresses: make a list at the mail server");
        errors.push(FieldError::new(format!("config/{field}"), message));
    }
    if errors.is_empty() { Ok(recipients) } else { Err(errors) }
}

/// Reads `ops@example.com` or `Operations <ops@example.com>`. The domain is brought into ASCII.
pub(super) fn mailbox(pointer: &str, text: &str) -> Result<Mailbox, FieldError> {
    let text = fields::line(pointer, text, MAILBOX_CHARS_MAX)?;
    let wrong = |message: &str| FieldError::new(pointer, message);
    let (name, address) = match text.strip_suffix('>').map(|text| text.rsplit_once('<')) {
        Some(Some((name, address))) => (name.trim(), address.trim()),
        Some(None) => return Err(wrong("has a bracket that nothing opens")),
        None => ("", text.as_str()),
    };
    let quoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    let name = quoted.unwrap_or(name).trim();
    if name.chars().count() > NAME_CHARS_MAX {
        return Err(wrong("has a name of more than 100 characters"));
    }
    let name = (!name.is_empty()).then(|| name.to_owned());
    Ok(Mailbox::new(
        name,
        self::address(address).map_err(|message| wrong(&message))?,
    ))
}

/// Reads an address. Only what needs no quotes is taken: no such address is one by mistake.
fn address(text: &str) -> Result<Address, String> {
    let (local, domain) = text
        .rsplit_once('@')
        .ok_or("is no address: write it as ops@example.com")?;
    if local.len() > LOCAL_BYTES_MAX {
        return Err(format!("has more than {LOCAL_BYTES_MAX} bytes before the @"));
    }
    if !local.is_ascii() {
        return Err(
            "has letters before the @ that not all mail servers take (SMTPUTF8): use another name of it".to_owned(),
        );
    }
    let is_atom = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+-/=?^_`{|}~".contains(&byte);
    let domain = match Host::parse(domain) {
        Ok(Host::Domain(domain)) if local.bytes().all(is_atom) => domain,
        _ => return Err("is no address: write it as ops@example.com".to_owned()),
    };
    let address =
        Address::new(local, domain.trim_end_matches('.')).map_err(|_| "is no address: write it as ops@example.com")?;
    let whole: &str = address.as_ref();
    if whole.len() > ADDRESS_BYTES_MAX {
        return Err(format!("has more than {ADDRESS_BYTES_MAX} bytes"));
    }
    Ok(address)
}

#[cfg(test)]
mod tests;
