use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::*;

/// A key of one repeated byte, as text.
fn key(byte: u8) -> String {
    BASE64.encode([byte; KEY_BYTES])
}

fn keyring(text: &str) -> Keyring {
    Keyring::from_text("test", &text.into()).unwrap()
}

#[test]
fn what_is_sealed_opens_in_its_place_only() {
    let keyring = Keyring::random().unwrap();
    let sealed = keyring.seal(b"integration-1", b"hunter2").unwrap();
    assert_eq!(sealed.key_id, keyring.primary_id());
    let opened = keyring.open(&sealed.key_id, b"integration-1", &sealed.bytes).unwrap();
    assert_eq!(opened.expose_secret(), b"hunter2");
    let error = keyring
        .open(&sealed.key_id, b"integration-2", &sealed.bytes)
        .unwrap_err();
    assert!(matches!(error, Error::NotOpened { .. }), "{error}");
    assert_ne!(
        keyring.seal(b"", b"x").unwrap().bytes,
        keyring.seal(b"", b"x").unwrap().bytes
    );
}

#[test]
fn a_changed_or_cut_byte_anywhere_is_noticed() {
    let keyring = Keyring::random().unwrap();
    let sealed = keyring.seal(b"a", b"hunter2").unwrap();
    for index in 0..sealed.bytes.len() {
        let mut bytes = sealed.bytes.clone();
        bytes[index] ^= 1;
        assert!(keyring.open(&sealed.key_id, b"a", &bytes).is_err(), "byte {index}");
        assert!(
            keyring.open(&sealed.key_id, b"a", &sealed.bytes[..index]).is_err(),
            "cut at {index}"
        );
    }
}

#[test]
fn an_old_key_still_opens_and_the_new_one_seals() {
    let old = keyring(&key(1));
    let sealed = old.seal(b"a", b"hunter2").unwrap();
    let both = keyring(&format!("{}\n{}\n", key(2), key(1)));
    assert_eq!(
        both.open(&sealed.key_id, b"a", &sealed.bytes).unwrap().expose_secret(),
        b"hunter2"
    );
    let newer = both.seal(b"a", b"x").unwrap();
    assert_eq!(newer.key_id, keyring(&key(2)).primary_id());
    assert_eq!(both.key_ids(), [newer.key_id.clone(), sealed.key_id.clone()]);
    let error = old.open(&newer.key_id, b"a", &newer.bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no key {} in the keyring (it has {}); add the key that sealed this data as a further line of the key file",
            newer.key_id, sealed.key_id
        )
    );
}

#[test]
fn the_id_of_a_key_never_changes() {
    assert_eq!(keyring(&key(0)).primary_id().len(), 8);
    let digest = Sha256::digest([b"signalbox key id".as_slice(), &[7; 32]].concat());
    let expected: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(keyring(&key(7)).primary_id(), expected);
}

#[test]
fn keys_may_lose_their_padding_and_stand_on_one_line() {
    let text = format!(" {}, {} ", key(1).trim_end_matches('='), key(2));
    assert_eq!(keyring(&text).key_ids().len(), 2);
}

#[test]
fn keys_that_cannot_be_used_are_told_by_number_and_never_printed() {
    for (text, expected) in [
        (String::new(), "test: holds no key".to_owned()),
        (
            format!("{} s3cret!", key(1)),
            "test: key 2 is not base64 text".to_owned(),
        ),
        ("czNjcmV0".to_owned(), "test: key 1 is 6 bytes long, not 32".to_owned()),
        (
            format!("{0} {0}", key(1)),
            format!("test: key 2 ({}) is there twice", keyring(&key(1)).primary_id()),
        ),
    ] {
        assert_eq!(
            Keyring::from_text("test", &text.into()).unwrap_err().to_string(),
            expected
        );
    }
    let text = format!("{:?}", keyring(&key(1)));
    assert_eq!(text, format!("Keyring[\"{}\"]", keyring(&key(1)).primary_id()));
}

#[test]
fn a_missing_key_file_is_made_once_and_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/secret.key");
    assert!(Keyring::from_file(&path).is_err());
    let first = Keyring::from_file_or_create(&path).unwrap();
    let second = Keyring::from_file_or_create(&path).unwrap();
    assert_eq!(first.primary_id(), second.primary_id());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let sealed = first.seal(b"a", b"x").unwrap();
    Keyring::from_file(&path)
        .unwrap()
        .open(&sealed.key_id, b"a", &sealed.bytes)
        .unwrap();
}

#[test]
fn a_ring_of_ours_grows_by_a_key_that_seals_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let ring = Keyring::from_file_or_create(&path).unwrap();
    let other = Keyring::from_file(&path).unwrap();
    let first = ring.primary_id();
    let sealed = ring.seal(b"a", b"x").unwrap();

    let second = ring.add_key().unwrap();
    assert_eq!(ring.key_ids(), [first.clone(), second.clone()]);
    assert_eq!(ring.primary_id(), first, "a new key opens before it seals");
    assert!(other.reload().unwrap(), "the file has changed");
    assert!(!other.reload().unwrap(), "and was read");
    ring.seal_with(&second).unwrap();
    let newer = ring.seal(b"a", b"y").unwrap();
    assert_eq!(newer.key_id, second);
    assert_eq!(other.open(&second, b"a", &newer.bytes).unwrap().expose_secret(), b"y");

    ring.remove_keys(&[first.clone(), second.clone()]).unwrap();
    assert_eq!(
        ring.key_ids(),
        std::slice::from_ref(&second),
        "the one that seals stays"
    );
    assert!(matches!(
        ring.open(&first, b"a", &sealed.bytes),
        Err(Error::UnknownKey { .. })
    ));
    assert!(matches!(ring.seal_with(&first), Err(Error::UnknownKey { .. })));
    assert_eq!(Keyring::from_file(&path).unwrap().key_ids(), [second]);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_ring_of_an_operator_is_read_again_and_never_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    std::fs::write(&path, key(1)).unwrap();
    let ring = Keyring::from_file(&path).unwrap();
    assert!(ring.add_key().is_err());
    assert!(ring.remove_keys(&[ring.primary_id()]).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), key(1));

    // What cannot be read leaves the keys that there are.
    std::fs::write(&path, "not a key").unwrap();
    assert!(ring.reload().is_err());
    assert!(ring.has(&keyring(&key(1)).primary_id()));
    std::fs::write(&path, format!("{}\n{}\n", key(2), key(1))).unwrap();
    assert!(ring.reload().unwrap());
    assert_eq!(ring.primary_id(), keyring(&key(1)).primary_id(), "what sealed goes on");
    assert!(ring.has(&keyring(&key(2)).primary_id()));
    std::fs::write(&path, key(2)).unwrap();
    assert!(ring.reload().unwrap());
    assert_eq!(ring.primary_id(), keyring(&key(2)).primary_id());
}

proptest! {
    #[test]
    fn anything_comes_back_as_it_went_in(aad: Vec<u8>, plaintext: Vec<u8>) {
        let keyring = keyring(&key(3));
        let sealed = keyring.seal(&aad, &plaintext).unwrap();
        let opened = keyring.open(&sealed.key_id, &aad, &sealed.bytes).unwrap();
        prop_assert_eq!(opened.expose_secret(), &plaintext[..]);
    }
}
