use std::time::Duration;

use super::*;

fn group(gateway: &str, job: &str, integration: &str) -> String {
    let about = About {
        integration: integration.to_owned(),
        name: "metrics".parse().expect("a name"),
        org: "acme".parse().expect("a name"),
        brand: "Signalbox".into(),
        timeout: Duration::from_secs(15),
    };
    url(&gateway.parse().expect("an address"), job, &about).to_string()
}

#[test]
fn a_group_is_named_by_job_org_and_integration() {
    for gateway in ["https://push.example.com", "https://push.example.com/"] {
        let url = group(gateway, "signalbox", "0197");
        assert_eq!(
            url,
            "https://push.example.com/metrics/job/signalbox/org/acme/integration/0197"
        );
    }
    let below = group("https://example.com/push/", "a.b", "0197");
    assert_eq!(
        below,
        "https://example.com/push/metrics/job/a.b/org/acme/integration/0197"
    );
}

#[test]
fn a_value_that_a_path_would_change_goes_as_base64() {
    for (job, coded) in [
        ("a/b", "YS9i"),
        (".", "Lg"),
        ("..", "Li4"),
        ("two words", "dHdvIHdvcmRz"),
        ("50%", "NTAl"),
        ("a+b", "YSti"),
        ("jöb", "asO2Yg"),
        ("?>?>", "Pz4_Pg"),
    ] {
        let url = group("https://push.example.com", job, "0197");
        let expected = format!("https://push.example.com/metrics/job@base64/{coded}/org/acme/integration/0197");
        assert_eq!(url, expected, "{job}");
    }
}

#[test]
fn two_integrations_never_share_a_group() {
    let of = |job, integration| group("https://push.example.com", job, integration);
    assert_ne!(of("signalbox", "0197"), of("signalbox", "0198"));
    assert_ne!(of("a", "0197"), of("YQ", "0197"));
}
