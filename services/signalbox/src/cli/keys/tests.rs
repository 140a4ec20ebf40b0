use super::*;

#[test]
fn a_holder_is_a_type_and_a_name_that_may_have_colons() {
    for (given, kind, id) in [
        ("user:ada@example.com", PrincipalKind::User, "ada@example.com"),
        ("service:ci", PrincipalKind::Service, "ci"),
        (
            "external_agent:urn:agent:7",
            PrincipalKind::ExternalAgent,
            "urn:agent:7",
        ),
    ] {
        let id = id.to_owned();
        assert_eq!(holder(given), Ok(Holder { kind, id }), "{given}");
    }
}

#[test]
fn what_is_no_holder_is_refused_with_what_would_be_one() {
    for (given, said) in [
        ("ada", "TYPE:ID such as user:ada@example.com"),
        ("", "TYPE:ID such as user:ada@example.com"),
        (
            "person:ada",
            "\"person\" is no type of holder: it is one of user, service, external_agent",
        ),
        (":ada", "is no type of holder"),
        ("User:ada", "is no type of holder"),
        ("unknown:ada", "is no type of holder"),
        ("user:", "says no name: put one behind `user:`"),
        ("user: ", "says no name"),
    ] {
        let refused = holder(given).err().unwrap_or_default();
        assert!(refused.contains(said), "{given:?}: {refused}");
    }
}
