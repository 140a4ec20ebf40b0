use super::*;

#[test]
fn a_scope_grants_itself_and_admin_grants_all() {
    for held in Scope::ALL {
        for required in Scope::ALL {
            let granted = held == required || held == Scope::Admin;
            assert_eq!(held.grants(&required), granted, "{held} for {required}");
        }
    }
    let newer = Scope::read("workflows:write");
    assert!(Scope::Admin.grants(&newer));
    for required in Scope::ALL.iter().chain([&newer]) {
        assert!(!newer.grants(required), "{required}");
    }
}

#[test]
fn words_are_read_back_and_an_unknown_one_is_refused_where_people_write_it() {
    for scope in Scope::ALL {
        assert_eq!(scope.as_str().parse(), Ok(scope.clone()));
        assert_eq!(Scope::read(scope.as_str()), scope);
    }
    for word in ["", "Admin", "events", "events:read", "admin ", "events:write,admin"] {
        assert_eq!(word.parse::<Scope>(), Err(InvalidScope(word.to_owned())));
        assert_eq!(Scope::read(word), Scope::Other(word.into()));
        assert_eq!(Scope::read(word).as_str(), word);
    }
}

#[test]
fn a_key_ends_at_its_time_and_a_revocation_waits_for_no_clock() {
    let at = Timestamp::from_secs;
    let key = Key {
        id: "1".to_owned(),
        org: None,
        name: String::new(),
        scopes: Vec::new(),
        principal: Principal {
            kind: PrincipalKind::User,
            id: "ada".to_owned(),
        },
        expires_at: None,
        revoked_at: None,
        revision: 1,
    };
    for (expires_at, revoked_at, ended) in [
        (None, None, None),
        (Some(at(101)), None, None),
        (Some(at(100)), None, Some(Ended::Expired)),
        (Some(at(99)), None, Some(Ended::Expired)),
        (None, Some(at(99)), Some(Ended::Revoked)),
        (None, Some(at(500)), Some(Ended::Revoked)),
        (Some(at(99)), Some(at(98)), Some(Ended::Revoked)),
    ] {
        let key = Key {
            expires_at,
            revoked_at,
            ..key.clone()
        };
        assert_eq!(key.refused(at(100)), ended, "{expires_at:?} {revoked_at:?}");
    }
}
