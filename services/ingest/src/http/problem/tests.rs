use super::*;

#[test]
fn a_list_names_the_first_wrong_event_and_so_many_more() {
    assert!(of_list(Vec::new()).is_none());
    let one = of_list(vec![(3, Rejection::invalid("type", "no"))]).unwrap();
    assert_eq!(
        (one.status.as_u16(), one.field.as_deref(), one.detail.as_str()),
        (422, Some("[3].type"), "no")
    );
    let many = (0..ERRORS_MAX + 5)
        .map(|index| (index, Rejection::malformed("no")))
        .collect();
    let many = of_list(many).unwrap();
    assert_eq!((many.status.as_u16(), many.field.as_deref()), (400, Some("[0]")));
    assert_eq!(many.more["errors"].as_array().unwrap().len(), ERRORS_MAX);
    assert_eq!(many.more["errors_count"], ERRORS_MAX + 5);
    assert!(many.detail.contains("24 more"), "{}", many.detail);
}
