use super::*;

/// What the paths become, each by the names of the members that lead to it.
fn names(paths: &[&[&str]]) -> Vec<String> {
    let mut out = Vec::new();
    let mut names = Names::default();
    names.push_own(&mut out, "eventType");
    out.push(b'1');
    for members in paths {
        let mut path = Path::default();
        members.iter().for_each(|member| path.push(member));
        names.push(&mut out, &path);
        out.push(b'1');
    }
    names
        .0
        .iter()
        .skip(1)
        .map(|at| String::from_utf8(out[at.clone()].to_vec()).unwrap())
        .collect()
}

#[test]
fn a_path_becomes_one_name() {
    assert_eq!(
        names(&[&["spec", "id"], &["spec", "status"]]),
        ["spec_id", "spec_status"]
    );
    assert_eq!(
        names(&[&["entity.guid"], &["a-b c"], &["größe"]]),
        ["entity_guid", "a_b_c", "gr__e"]
    );
}

#[test]
fn a_name_that_cannot_stand_alone_gets_a_prefix() {
    for name in [
        "limit",
        "FROM",
        "accountId",
        "appId",
        "eventType",
        "timestamp",
        "log",
        "agent_id",
        "0",
        "",
        "日本",
        "_x",
    ] {
        let made = names(&[&[name]]);
        assert!(made[0].starts_with("data_"), "{name}: {made:?}");
    }
    assert_eq!(names(&[&["limits"], &["spec", "from"]]), ["limits", "spec_from"]);
}

#[test]
fn names_that_are_there_already_get_numbers() {
    let same: Vec<&[&str]> = vec![&["spec", "id"], &["spec_id"], &["spec.id"]];
    assert_eq!(names(&same), ["spec_id", "spec_id_2", "spec_id_3"]);
    let many = names(&vec![&["x"][..]; 200]);
    let distinct: std::collections::BTreeSet<&String> = many.iter().collect();
    assert_eq!(distinct.len(), 200);
}

#[test]
fn no_name_is_too_long() {
    let long = "x".repeat(10_000);
    let members: Vec<&str> = vec![&long; 60];
    let made = names(&vec![members.as_slice(); 250]);
    assert!(made.iter().all(|name| name.len() <= NAME_BYTES_MAX), "{made:?}");
    let distinct: std::collections::BTreeSet<&String> = made.iter().collect();
    assert_eq!(distinct.len(), 250);
}
