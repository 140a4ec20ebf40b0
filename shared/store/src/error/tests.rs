use super::code_passes;

#[test]
fn codes_that_pass_by_themselves_are_told_from_mistakes() {
    // sqlx prints the extended codes of SQLite as decimal numbers: 517 is BUSY_SNAPSHOT, 2067 CONSTRAINT_UNIQUE.
    for code in [
        "08006", "40001", "40P01", "53300", "57P01", "25006", "55P03", "5", "6", "261", "517",
    ] {
        assert!(code_passes(code), "{code}");
    }
    for code in ["23505", "42601", "57014", "1", "13", "2067", ""] {
        assert!(!code_passes(code), "{code}");
    }
}
