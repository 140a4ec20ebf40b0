//! Secrets that can be found again: each with a name, looked for as it is, in base64, in hexadecimal digits and percent-encoded.

use std::{fs, path::Path};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// Characters of a part that stands for the whole.
const PART_MIN: usize = 16;
/// Bytes at the ends of a text in base64 that depend on what stands beside it.
const BLURRED: usize = 2;

/// Secrets as they may be written, each with where it was given and in which form.
#[derive(Default)]
pub(super) struct Marks {
    forms: Vec<(String, String)>,
}

impl Marks {
    /// A new secret, for this place.
    pub(super) fn new_for(&mut self, place: &str) -> String {
        let word: String = place.chars().filter(char::is_ascii_alphanumeric).collect();
        let number = getrandom::u64().expect("the system gives random numbers");
        let secret = format!("Zq{word}+{number:016x}");
        self.add(place, &secret);
        secret
    }

    /// A secret that somebody else made.
    pub(super) fn add(&mut self, place: &str, secret: &str) {
        let forms = forms(secret).into_iter();
        self.forms
            .extend(forms.map(|(form, text)| (format!("{place} ({form})"), text)));
    }

    /// Which of them a text holds, and in which form.
    pub(super) fn found_in(&self, bytes: &[u8]) -> Vec<String> {
        // They are ASCII: what is not stands for itself, and ends none.
        let text = String::from_utf8_lossy(bytes);
        let found = self.forms.iter().filter(|(_, form)| text.contains(form.as_str()));
        found.map(|(place, _)| place.clone()).collect()
    }

    /// The files below a folder that hold any of them, those of these names left out.
    pub(super) fn found_below(&self, folder: &Path, but: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if !but.iter().any(|name| path.ends_with(name)) {
                    // What goes away meanwhile holds nothing.
                    let bytes = fs::read(&path).unwrap_or_default();
                    let marks = self.found_in(&bytes);
                    found.extend(marks.into_iter().map(|mark| format!("{mark} in {}", path.display())));
                }
            }
        }
        found
    }
}

/// A secret as it may be written.
fn forms(secret: &str) -> Vec<(&'static str, String)> {
    let percent = secret.replace('+', "%2B");
    let mut forms = vec![
        ("plain", secret.to_owned()),
        ("percent-encoded", percent.to_lowercase()),
        ("percent-encoded", percent),
    ];
    // The part that says which one it is, whatever became of the rest. That of a random key may be no more than a letter,
    // which is found everywhere.
    let part = secret.rsplit('+').next().unwrap_or(secret);
    if part.len() >= PART_MIN {
        forms.push(("in part", part.to_owned()));
    }
    // As PostgreSQL shows bytes.
    forms.push((
        "hexadecimal",
        secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ));
    // In base64 three places are possible, by what stands before it.
    for before in 0..3 {
        let text = [&vec![b'_'; before][..], secret.as_bytes()].concat();
        for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
            let first = if before == 0 { 0 } else { BLURRED + before };
            let inner: String = encoded.chars().skip(first).collect();
            let kept = inner.len().saturating_sub(BLURRED);
            forms.push(("base64", inner.chars().take(kept).collect()));
        }
    }
    forms
}

/// Whether a text holds another.
pub(super) fn holds(bytes: &[u8], wanted: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(wanted)
}

#[test]
fn a_mark_is_found_in_every_form() {
    let mut marks = Marks::default();
    let secret = marks.new_for("a place");
    let basic = |user: &str| URL_SAFE_NO_PAD.encode(format!("{user}:{secret}:"));
    for text in [
        secret.clone(),
        format!("a=1&b={}", secret.replace('+', "%2b")),
        basic("ada"),
        basic("adam"),
        basic("adams"),
    ] {
        assert!(!marks.found_in(text.as_bytes()).is_empty(), "{text}");
    }
    assert_eq!(marks.found_in(b"nothing of it"), Vec::<String>::new());
}
