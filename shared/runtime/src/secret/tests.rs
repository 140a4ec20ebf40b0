use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn new_keys_differ_and_match_their_own_hash_alone() {
    let (one, two) = (new_admin_key().unwrap(), new_admin_key().unwrap());
    assert!(one.expose_secret().starts_with("sbx_"));
    assert_eq!(one.expose_secret().len(), 4 + 43);
    assert!(is_same_hash(&hash_text(one.expose_secret()), &hash(&one)));
    assert!(!is_same_hash(&hash_text(two.expose_secret()), &hash(&one)));
    assert!(!is_same_hash(&hash_text(""), &hash(&one)));
    assert!(!format!("{one:?}").contains("sbx_"));
}

#[test]
fn a_written_secret_is_private_and_is_read_back_trimmed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/admin.key");
    write_secret_file(&path, &"first".into()).unwrap();
    write_secret_file(&path, &"second".into()).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "second\n");
    assert_eq!(file_secret(&path).unwrap().expose_secret(), "second");
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert_eq!(
        std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
        1,
        "no temporary file is left"
    );
}

#[test]
fn of_many_who_create_a_secret_one_wins_and_all_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.key");
    let results: Vec<(bool, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let path = &path;
                scope.spawn(move || {
                    let made = create_secret_file(path, &format!("secret-{number}").into()).unwrap();
                    (made, file_secret(path).unwrap().expose_secret().to_owned())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|(made, _)| *made).count(), 1);
    assert!(results.iter().all(|(_, read)| *read == results[0].1), "{results:?}");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn files_that_hold_no_secret_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let check = |bytes: &[u8], expected: &str| {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(
            file_secret(&path).unwrap_err().to_string(),
            format!("{}: {expected}", path.display())
        );
    };
    check(b" \n", "is empty");
    check(b"\xff", "is not UTF-8 text");
    check(&[b'a'; 65_537], "is longer than 64 KiB, which is no secret");
    let missing = folder.path().join("missing");
    assert_eq!(
        file_secret(&missing).unwrap_err().to_string(),
        format!("cannot read {}", missing.display())
    );
    let error = write_secret_file(&folder.path().join("file/below"), &"x".into()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot make {}", path.display()));
}
