//! What holds a secret as plain text does not print it.
//!
//! Logs and panics show values as `Debug` does. So a type that derives it keeps a secret in a type that masks itself
//! (`SecretString`, `providers::Secret`, `proto::Secrets`), or has none.

use crate::tree;

/// Fields of these names hold secrets, unless they are in [`NO_SECRETS`].
const NAMES: [&str; 22] = [
    "admin_key",
    "api_key",
    "api_token",
    "auth_header",
    "authorization",
    "basic",
    "bearer",
    "bot_token",
    "credential",
    "credentials",
    "dsn",
    "key",
    "keys",
    "passphrase",
    "password",
    "pat",
    "private_key",
    "routing_key",
    "secret",
    "secrets",
    "token",
    "tokens",
];
/// Types that print what they hold, by a part of their name.
const PRINTED: [&str; 6] = ["String", "str", "Value", "Vec<u8>", "Bytes", "[u8"];
/// Types that mask what they hold, though they look like those.
const MASKED: [&str; 2] = ["SecretString", "SecretSlice"];
/// Fields with such a name that hold no secret: file, type, field, what they hold.
const NO_SECRETS: &[(&str, &str, &str, &str)] = &[
    ("shared/access/src/known.rs", "Known", "keys", "hashes of API keys"),
    ("shared/broker/src/error.rs", "Error", "key", "a key of a KV bucket"),
    ("shared/broker/src/keyrings.rs", "Told", "keys", "ids of master keys"),
    ("shared/broker/src/keyrings.rs", "Teller", "key", "a key of a KV bucket"),
    ("shared/broker/src/lease.rs", "Lease", "key", "a key of a KV bucket"),
    ("shared/broker/src/limiter/seen.rs", "Seen", "keys", "names of counters"),
    (
        "shared/matching/src/index.rs",
        "Match",
        "key",
        "what a delivery is ordered by",
    ),
    (
        "shared/matching/src/index.rs",
        "Index",
        "tokens",
        "parts of event types",
    ),
    (
        "shared/runtime/src/settings.rs",
        "EntryView",
        "key",
        "the name of a setting",
    ),
    ("shared/store/src/erase.rs", "Withdrawn", "keys", "hashes of API keys"),
    ("services/api/src/caller.rs", "Caller", "key", "the id of an API key"),
    ("services/api/src/rotate.rs", "Kept", "key", "the id of a master key"),
    (
        "services/api/src/view/integration.rs",
        "Integration",
        "credentials",
        "masks, as answers show them",
    ),
    (
        "services/api/src/view/integration.rs",
        "InFile",
        "credentials",
        "masks, as answers show them",
    ),
    (
        "services/delivery/src/ordered/keys.rs",
        "Arrival",
        "key",
        "what a delivery is ordered by",
    ),
    (
        "shared/providers/src/datadog/mod.rs",
        "Prepared",
        "key",
        "marked as sensitive, so that it prints as that word",
    ),
    (
        "shared/providers/src/new_relic/mod.rs",
        "Prepared",
        "key",
        "marked as sensitive, so that it prints as that word",
    ),
];

/// A field of a type that derives `Debug`: its type, its name, its line.
struct Field<'a> {
    of: &'a str,
    name: &'a str,
    holds: &'a str,
    line: usize,
}

/// The named fields of all types of a source that derive `Debug`. The sources are formatted: one field is one line.
fn printed_fields(text: &str) -> Vec<Field<'_>> {
    let (mut found, mut derives, mut of) = (Vec::new(), false, None);
    for (line, text) in text.lines().enumerate() {
        let trimmed = text.trim();
        let code = trimmed
            .strip_prefix("pub(crate) ")
            .or(trimmed.strip_prefix("pub(super) "));
        let code = code.or(trimmed.strip_prefix("pub ")).unwrap_or(trimmed);
        let declares = code.strip_prefix("struct ").or(code.strip_prefix("enum "));
        if trimmed.starts_with("#[derive(") {
            derives = trimmed.contains("Debug");
        } else if trimmed.starts_with("#[") || trimmed.starts_with("//") {
            // Stands between a derive and what it is about.
        } else if let Some(declared) = declares {
            let name = declared.split(|c: char| !c.is_alphanumeric() && c != '_').next();
            of = name.filter(|_| derives && trimmed.ends_with('{'));
            derives = false;
        } else if text.starts_with('}') {
            of = None;
        } else if let (Some(of), Some((name, holds))) = (of, code.split_once(": ")) {
            let holds = holds.trim_end_matches(',');
            found.push(Field {
                of,
                name,
                holds,
                line: line + 1,
            });
        }
    }
    found
}

fn prints_a_secret(field: &Field<'_>) -> bool {
    NAMES.contains(&field.name)
        && PRINTED.iter().any(|part| field.holds.contains(part))
        && !MASKED.iter().any(|part| field.holds.contains(part))
}

#[test]
fn no_type_prints_a_secret_that_it_holds() {
    let (mut seen, mut wrong, mut used) = (0, Vec::new(), vec![false; NO_SECRETS.len()]);
    for source in tree::sources() {
        if source.is_test() {
            continue;
        }
        for field in printed_fields(&source.text) {
            seen += 1;
            if !prints_a_secret(&field) {
                continue;
            }
            let is_known = |(path, of, name, _): &&(&str, &str, &str, &str)| {
                (*path, *of, *name) == (source.path.as_str(), field.of, field.name)
            };
            match NO_SECRETS.iter().position(|known| is_known(&known)) {
                Some(known) => used[known] = true,
                None => wrong.push(format!(
                    "{}:{}: {} derives Debug and prints `{}: {}`",
                    source.path, field.line, field.of, field.name, field.holds
                )),
            }
        }
    }
    assert!(seen > 500, "{seen} fields were read");
    assert!(
        wrong.is_empty(),
        "give these a type that masks itself, or take Debug away; what is no secret is named in NO_SECRETS: {wrong:#?}"
    );
    let idle = NO_SECRETS.iter().zip(used).filter(|(_, used)| !used);
    let idle: Vec<_> = idle.map(|(known, _)| known).collect();
    assert!(idle.is_empty(), "nothing is like that any more: {idle:?}");
}

#[test]
fn a_secret_that_is_printed_is_found() {
    let source = "\
#[derive(Clone, Debug)]
#[serde(deny_unknown_fields)]
pub struct Login<'a> {
    /// Who.
    pub user: String,
    pub(crate) password: Option<String>,
    token: SecretString,
    secret: &'a str,
}

#[derive(Clone)]
struct Silent {
    password: String,
}

#[derive(Debug)]
enum Proof {
    Given { n: u8 },
    Basic {
        password: String,
    },
}
";
    let fields = printed_fields(source);
    let found: Vec<(&str, &str)> = fields
        .iter()
        .filter(|field| prints_a_secret(field))
        .map(|field| (field.of, field.name))
        .collect();
    assert_eq!(
        found,
        [("Login", "password"), ("Login", "secret"), ("Proof", "password")]
    );
}
