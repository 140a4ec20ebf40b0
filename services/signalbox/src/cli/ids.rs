//! Ids on the command line. The id of a delivery is base64url (RFC 4648, section 5): one in 64 begins with a hyphen, and
//! would be read as an option.

use std::ffi::OsString;

/// Characters of the id of a delivery.
const LENGTH: usize = 22;

/// Moves ids that begin with a hyphen behind all options and `--`. Where that is on the line already, the user has said
/// what is an option.
pub(super) fn last(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let all: Vec<OsString> = arguments.collect();
    if all.iter().any(|argument| argument == "--") {
        return all;
    }
    let (ids, mut rest): (Vec<_>, Vec<_>) = all.into_iter().partition(is_id);
    if !ids.is_empty() {
        rest.push("--".into());
        rest.extend(ids);
    }
    rest
}

fn is_id(argument: &OsString) -> bool {
    let Some(text) = argument.to_str() else { return false };
    let is_flag = text.starts_with("--")
        && !text
            .bytes()
            .any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.starts_with('-') && text.len() == LENGTH && text.bytes().all(is_base64url) && !is_flag
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &str) {
        let read = last(line.split(' ').map(OsString::from));
        let read: Vec<&str> = read.iter().map(|argument| argument.to_str().unwrap()).collect();
        assert_eq!(read.join(" "), expected);
    }

    #[test]
    fn an_id_that_begins_with_a_hyphen_is_no_option() {
        const ID: &str = "-zOGmh0R3ET6GoXq2c4b5Q";
        check(
            &format!("signalbox deliveries discard {ID} --dry-run"),
            &format!("signalbox deliveries discard --dry-run -- {ID}"),
        );
        check(
            "signalbox deliveries show --OGmh0R3ET6GoXq2c4b5Q --output json",
            "signalbox deliveries show --output json -- --OGmh0R3ET6GoXq2c4b5Q",
        );
        let said = format!("signalbox deliveries show -- {ID}");
        check(&said, &said);
        // As long as an id, and an option.
        let flag = "signalbox replay --ignore-subscriptions --to a";
        assert_eq!("--ignore-subscriptions".len(), LENGTH);
        check(flag, flag);
        check(
            "signalbox run -vv zzOGmh0R3ET6GoXq2c4b5Q",
            "signalbox run -vv zzOGmh0R3ET6GoXq2c4b5Q",
        );
    }
}
