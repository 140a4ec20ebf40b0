use super::*;

#[test]
fn a_path_is_one_word_of_a_shell() {
    for (path, word) in [
        ("/tmp/signalbox-demo-1a2b", "/tmp/signalbox-demo-1a2b"),
        ("/Users/a b/tmp", "'/Users/a b/tmp'"),
        ("/tmp/it's", r"'/tmp/it'\''s'"),
        ("/tmp/$HOME;ls", "'/tmp/$HOME;ls'"),
        ("", "''"),
    ] {
        assert_eq!(quoted(Path::new(path)), word);
    }
}
