use super::*;

fn read(text: &str) -> Result<Dsn, FieldError> {
    Dsn::read(&text.into())
}

#[test]
fn a_dsn_names_the_endpoint_of_its_project() {
    for (dsn, endpoint, has_secret) in [
        (
            "https://0f1e2d3c4b5a69788796a5b4c3d2e1f0@o447951.ingest.sentry.io/5429219",
            "https://o447951.ingest.sentry.io/api/5429219/envelope/",
            false,
        ),
        (
            "https://0f1e2d3c:s3cret@sentry.io/42",
            "https://sentry.io/api/42/envelope/",
            true,
        ),
        (
            "http://0f1e2d3c@127.0.0.1:9000/tools/sentry/7",
            "http://127.0.0.1:9000/tools/sentry/api/7/envelope/",
            false,
        ),
        (
            " https://0f1e2d3c@sentry.example.com/sentry/7/?timeout=5#x\n",
            "https://sentry.example.com/sentry/api/7/envelope/",
            false,
        ),
        (
            "https://0f1e2d3c@sentry.example.com/project-a",
            "https://sentry.example.com/api/project-a/envelope/",
            false,
        ),
        (
            "https://0f1e2d3c@[2001:db8::1]:8443/7",
            "https://[2001:db8::1]:8443/api/7/envelope/",
            false,
        ),
    ] {
        let read = read(dsn).expect(dsn);
        assert_eq!(
            (read.envelopes.as_str(), read.has_secret),
            (endpoint, has_secret),
            "{dsn}"
        );
        let auth = read.auth.to_str().expect("ASCII");
        let key = dsn.trim().split(['/', ':', '@']).nth(3).expect("a key");
        let expected = format!("Sentry sentry_version=7, sentry_key={key}, sentry_client=signalbox/");
        assert!(auth.starts_with(&expected), "{auth}");
        let printed = format!("{read:?}");
        assert!(
            !printed.contains("0f1e2d3c") && !printed.contains("s3cret"),
            "{printed}"
        );
    }
}

#[test]
fn what_is_no_dsn_is_refused_with_the_remedy_and_without_its_value() {
    for (dsn, part) in [
        ("", "is empty"),
        ("  ", "is empty"),
        ("k3y-of-the-project", "is no DSN"),
        ("sync+https://k3y@sentry.io/42", "https://"),
        ("https://sentry.io/42", "no public key"),
        ("https://:k3y@sentry.io/42", "no public key"),
        ("https://k3y%2c,x@sentry.io/42", "no public key"),
        ("https://k3y@sentry.io", "no id of a project"),
        ("https://k3y@sentry.io/", "no id of a project"),
        ("https://k3y@sentry.io/a%20b", "no id of a project"),
        (&format!("https://k3y@sentry.io/{}", "7".repeat(3_000)), "longer than"),
    ] {
        let error = read(dsn).expect_err(dsn);
        let told = format!("{error:?}");
        assert_eq!(error.pointer, POINTER);
        assert!(told.contains(part), "{dsn}: {told}");
        assert!(!told.contains("k3y") && !told.contains("sentry.io"), "{dsn}: {told}");
    }
}
