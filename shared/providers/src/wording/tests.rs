use super::*;

#[test]
fn a_slip_is_told_from_a_name_of_something_else() {
    let known = ["channel", "notify_on", "webhook_url"];
    for (written, meant) in [
        ("chanel", Some("channel")),
        ("Channel", Some("channel")),
        ("notifyon", Some("notify_on")),
        ("url", None),
        ("x", None),
    ] {
        assert_eq!(nearest(written, &known), meant, "{written}");
    }
    assert_eq!(unknown("chanel", &known), "is not a field here: did you mean channel?");
    assert_eq!(
        unknown("recipients", &known),
        "is not a field here: there are channel, notify_on, webhook_url"
    );
}

#[test]
fn the_distance_counts_edits() {
    for (left, right, expected) in [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("a", "a", 0)] {
        assert_eq!(edits(left, right), expected, "{left} {right}");
    }
}
