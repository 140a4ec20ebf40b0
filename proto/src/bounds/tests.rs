use super::*;
use crate::wire;

#[test]
fn marks_are_read_as_they_were_written() {
    let marks = Marks {
        orgs: BTreeMap::from([("acme".parse().unwrap(), Over { is: 12, mark: 10 })]),
        integrations: vec![Crowded {
            org: "acme".into(),
            integration: "i".into(),
            over: Over { is: 11, mark: 10 },
        }],
        storage: Some(Over { is: 2, mark: 1 }),
        refusals_full: true,
        refusals_left: Some(7),
        holds_secs: 90,
    };
    assert_eq!(wire::decode::<Marks>(&wire::encode(&marks).unwrap()).unwrap(), marks);
    assert!(!marks.is_empty());
}

#[test]
fn marks_of_an_older_version_lack_nothing() {
    let none: BTreeMap<String, u8> = BTreeMap::new();
    let marks: Marks = wire::decode(&wire::encode(&none).unwrap()).unwrap();
    assert_eq!(marks, Marks::default());
    assert!(marks.is_empty());
}
