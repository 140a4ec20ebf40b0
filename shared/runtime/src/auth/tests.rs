use super::*;

fn headers(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a header"))])
}

#[test]
fn only_the_key_itself_opens() {
    let secret = secret::new_admin_key().expect("random bytes");
    let text = secret.expose_secret();
    let key = AdminKey::new("test", &secret).expect("a key");
    assert!(key.check(&headers(&format!("Bearer {text}"))).is_ok());
    assert!(key.check(&headers(&format!("bearer  {text}"))).is_ok());
    let code = |value: &str| key.check(&headers(value)).expect_err("refused").code;
    assert_eq!(code(&format!("Bearer {text}x")), "bad_key");
    assert_eq!(code("Bearer "), "unauthenticated");
    assert_eq!(code(&format!("Basic {text}")), "unauthenticated");
    let problem = key.check(&HeaderMap::new()).expect_err("refused");
    assert_eq!((problem.status.as_u16(), problem.code), (401, "unauthenticated"));
    assert_eq!(
        problem.headers,
        vec![(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))]
    );
}

#[test]
fn a_key_that_no_header_can_carry_is_refused_without_repeating_it() {
    for text in ["", "short", "sbx_ with spaces in the middle"] {
        let error = AdminKey::new("admin.key", &text.into())
            .expect_err("refused")
            .to_string();
        assert!(error.starts_with("admin.key: the key "), "{error}");
        assert!(!error.contains("spaces in"), "{error}");
    }
}
