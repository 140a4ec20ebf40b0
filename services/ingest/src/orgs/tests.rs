use super::*;

#[test]
fn a_closed_org_takes_nothing_and_an_unknown_one_as_the_setting_says() {
    let org: Name = "acme".parse().expect("a name");
    let (closed, missing) = (Err(Shut::Closed(org.clone())), Err(Shut::Unknown(org.clone())));
    for (status, accepting, rejecting) in [
        (Some(OrgStatus::Active), Ok(()), Ok(())),
        (Some(OrgStatus::Unknown), Ok(()), Ok(())),
        (Some(OrgStatus::Erasing), closed.clone(), closed.clone()),
        (Some(OrgStatus::Erased), closed.clone(), closed),
        (None, Ok(()), missing),
    ] {
        assert_eq!(decide(&org, status, UnknownOrgs::Accept), accepting, "{status:?}");
        assert_eq!(decide(&org, status, UnknownOrgs::Reject), rejecting, "{status:?}");
    }
}
