use super::*;

#[test]
fn a_new_key_is_random_and_kept_as_its_hash_and_its_last_characters() {
    let (one, two) = (NewKey::random().expect("bytes"), NewKey::random().expect("bytes"));
    for key in [&one, &two] {
        let text = key.text.expose_secret();
        assert!(text.starts_with("sbx_"), "{}", text.len());
        assert_eq!(text.len(), 4 + 43);
        assert_eq!(key.hash, hex(&secret::hash_text(text)));
        let last: String = text.chars().skip(44).collect();
        assert_eq!(key.hint, format!("sbx_***{last}"));
        assert!(!format!("{key:?}").contains(text));
    }
    assert_ne!(one.text.expose_secret(), two.text.expose_secret());
}

#[test]
fn a_hash_is_written_as_others_write_it() {
    // The SHA-256 of "abc", from FIPS 180-2.
    assert_eq!(
        hex(&secret::hash_text("abc")),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}
