use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::file::File;

mod printed;

/// A version in which all providers are there.
const LATER: Version = Version {
    provides: |_| true,
    brings: |_| None,
};
/// A version that has two providers and knows when two more come.
const NOW: Version = Version {
    provides: |provider| matches!(provider, "webhook" | "slack"),
    brings: |provider| matches!(provider, "linear" | "azure_devops").then_some("99.1.0"),
};

/// Every variable that the guide names, and those that the fixtures use.
const VARIABLES: &[&str] = &[
    "AZURE_DEVOPS_ORG",
    "AZURE_DEVOPS_PAT",
    "AZURE_DEVOPS_PROJECT",
    "DATADOG_API_KEY",
    "DATADOG_APP_KEY",
    "DISCORD_WEBHOOK_URL",
    "GITHUB_REPOSITORY_OWNER",
    "GITHUB_TOKEN",
    "JIRA_API_TOKEN",
    "JIRA_BASE_URL",
    "JIRA_EMAIL",
    "LINEAR_API_KEY",
    "NEW_RELIC_API_KEY",
    "OPSGENIE_API_KEY",
    "PAGERDUTY_ROUTING_KEY",
    "SENTRY_DSN",
    "SLACK_WEBHOOK_URL",
    "SMTP_HOST",
    "SMTP_PASSWORD",
    "SMTP_USER",
    "TEAMS_WEBHOOK_URL",
    "WEBHOOK_SECRET_ANALYTICS",
    "WEBHOOK_TOKEN",
];

/// Reads a file in an environment that holds all variables but one, each with `<name>` as its value.
fn read_without(missing: &str, text: &str, skip_unavailable: bool, version: Version) -> Result<File, String> {
    let variable = |name: &str| (VARIABLES.contains(&name) && name != missing).then(|| format!("<{name}>"));
    let reading = Reading {
        variable: &variable,
        file: &|path| Err(format!("cannot read {path}")),
        skip_unavailable,
        version,
    };
    File::read(Path::new("i.yaml"), text, &reading).map_err(|error| error.to_string())
}

fn read(text: &str) -> File {
    read_without("", text, false, LATER).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn refused(text: &str, version: Version) -> String {
    match read_without("", text, false, version) {
        Ok(file) => panic!("{text}\n{:?}", values(&file)),
        Err(error) => error,
    }
}

fn values(file: &File) -> Vec<&Value> {
    file.integrations().iter().map(Made::value).collect()
}

/// The only integration of a file.
fn one(text: &str) -> Value {
    match values(&read(text))[..] {
        [value] => value.clone(),
        ref others => panic!("{text}\n{others:?}"),
    }
}

#[test]
fn a_block_becomes_an_integration_with_its_key_as_the_name() {
    assert_eq!(
        one(
            "integrations:\n  slack:\n    enabled: true\n    channel: \"#ops\"\n    mention_on_failure: [\"@here\"]\n    \
             notify_on: [pr_merged, \"canary.>\"]\n"
        ),
        json!({
            "name": "slack", "provider": "slack", "enabled": true, "events": ["pr.merged", "canary.>"],
            "config": { "channel": "#ops", "mention_on_failure": ["@here"], "webhook_url": "<SLACK_WEBHOOK_URL>" },
            "credentials": {},
        })
    );
    assert_eq!(
        one("integrations: { newrelic: { enabled: true, account_id: \"7\" } }"),
        json!({
            "name": "new_relic", "provider": "new_relic", "enabled": true, "config": { "account_id": "7" },
            "events": ["spec.*", "implementation.*", "pr.*", "validation.*"],
            "credentials": { "api_key": "<NEW_RELIC_API_KEY>" },
        })
    );
}

#[test]
fn what_a_block_says_needs_no_variable() {
    let base = "integrations:\n  slack: { enabled: true, notify_on: [tick], ";
    let by_url = one(&format!("{base} webhook_url: \"https://example.com\" }}"));
    assert_eq!(by_url["config"], json!({ "webhook_url": "https://example.com" }));
    let by_token = one(&format!("{base} channel: \"#a\", bot_token: \"${{WEBHOOK_TOKEN}}\" }}"));
    assert_eq!(
        (&by_token["config"], &by_token["credentials"]),
        (&json!({ "channel": "#a" }), &json!({ "bot_token": "<WEBHOOK_TOKEN>" }))
    );
    let jira = one("integrations: { jira: { enabled: true, base_url: \"https://example.com\", project_key: P } }");
    assert_eq!(
        (&jira["config"]["base_url"], &jira["events"]),
        (
            &json!("https://example.com"),
            &json!(["spec.*", "implementation.*", "pr.*"])
        )
    );
    let jira = one("integrations: { jira: { enabled: true, project_key: P, notify_on: [spec_created] } }");
    assert_eq!(
        (&jira["config"]["base_url"], &jira["events"]),
        (&json!("<JIRA_BASE_URL>"), &json!(["spec.created"]))
    );
}

#[test]
fn receivers_by_event_say_which_events_are_wanted() {
    let mail = one(
        "integrations:\n  email:\n    enabled: true\n    from: a@example.com\n    smtp: { port: 25 }\n    notify_on: \
         [tick, pr.created]\n    recipients: { pr_created: [b@example.com], \"alert.*\": [c@example.com] }\n",
    );
    assert_eq!(
        mail["config"],
        json!({
            "from": "a@example.com", "smtp": { "port": 25, "host": "<SMTP_HOST>" },
            "recipients": { "pr.created": ["b@example.com"], "alert.*": ["c@example.com"] },
        })
    );
    assert_eq!(mail["events"], json!(["tick", "pr.created", "alert.*"]));
    assert_eq!(
        mail["credentials"],
        json!({ "username": "<SMTP_USER>", "password": "<SMTP_PASSWORD>" })
    );
}

#[test]
fn datadog_with_events_and_metrics_becomes_two() {
    let block = |flags: &str| {
        format!("integrations: {{ datadog: {{ enabled: true, site: s, metric_prefix: p, event_tags: [t], {flags} }} }}")
    };
    let file = read(&block("send_events: true, send_metrics: true"));
    let made: Vec<(&str, &Value)> = values(&file)
        .iter()
        .map(|value| (value["name"].as_str().expect("a name"), &value["config"]))
        .collect();
    assert_eq!(
        made,
        [
            (
                "datadog-events",
                &json!({ "site": "s", "send_events": true, "event_tags": ["t"] })
            ),
            (
                "datadog-metrics",
                &json!({ "site": "s", "send_metrics": true, "metric_prefix": "p" })
            ),
        ]
    );
    assert_eq!(one(&block("send_events: true"))["name"], "datadog");
    assert!(refused(&block("send_events: false"), LATER).contains("datadog: sends nothing"));
    let missing = read_without(
        "DATADOG_APP_KEY",
        &block("send_events: true, send_metrics: true"),
        false,
        LATER,
    );
    assert_eq!(missing.expect_err("refused").lines().count(), 1, "told once");
}

#[test]
fn each_endpoint_becomes_a_webhook_that_sends_as_the_guide_says() {
    let file = read(
        "integrations:\n  webhooks:\n    enabled: true\n    endpoints:\n      - name: first\n        url: \
         https://example.com/1\n        events: [spec_approved]\n        headers: { X-Key: \"k ${WEBHOOK_TOKEN}\" }\n        \
         retry_count: 2\n      - name: second\n        url: https://example.com/2\n        events: [tick]\n        secret: \
         ${WEBHOOK_SECRET_ANALYTICS}\n        payload: standard\n",
    );
    assert_eq!(
        values(&file),
        [
            &json!({
                "name": "first", "provider": "webhook", "enabled": true, "events": ["spec.approved"],
                "config": {
                    "url": "https://example.com/1", "headers": { "X-Key": "k <WEBHOOK_TOKEN>" }, "retry_count": 2,
                    "payload": "flat",
                },
                "credentials": {},
            }),
            &json!({
                "name": "second", "provider": "webhook", "enabled": true, "events": ["tick"],
                "config": { "url": "https://example.com/2", "payload": "standard", "signature": "x_signature_256" },
                "credentials": { "secret": "<WEBHOOK_SECRET_ANALYTICS>" },
            }),
        ]
    );
    for (text, part) in [
        ("{ enabled: true }", "webhooks.endpoints: is empty"),
        ("{ enabled: true, endpoints: [] }", "webhooks.endpoints: is empty"),
        (
            "{ enabled: true, endpoints: {} }",
            "webhooks.endpoints: is a group of fields, not a list",
        ),
        (
            "{ enabled: true, endpoints: [x] }",
            "webhooks.endpoints[0]: is a text, not an endpoint",
        ),
        (
            "{ enabled: true, url: x, endpoints: [] }",
            "webhooks.url: belongs to one of the endpoints",
        ),
    ] {
        let error = refused(&format!("integrations: {{ webhooks: {text} }}"), LATER);
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn plan_can_show_what_went_where_but_no_value() {
    let file = read(
        "integrations:\n  webhooks:\n    enabled: true\n    endpoints:\n      - name: a\n        url: \
         https://example.com/${WEBHOOK_TOKEN}\n        events: [pr_created]\n        headers: { A: \"${WEBHOOK_TOKEN}\" }\n  \
         jira: { enabled: true, base_url: \"https://example.com\" }\n",
    );
    let (made, left_out) = file.translation().expect("the guide's form");
    assert_eq!(
        made,
        [
            json!({
                "block": "integrations.webhooks.endpoints[0]", "name": "a", "provider": "webhook", "enabled": true,
                "events": ["pr.created"],
                "variables": { "url": ["WEBHOOK_TOKEN"], "headers.A": ["WEBHOOK_TOKEN"] },
            }),
            json!({
                "block": "integrations.jira", "name": "jira", "provider": "jira", "enabled": true,
                "events": ["spec.*", "implementation.*", "pr.*"],
                "variables": { "email": ["JIRA_EMAIL"], "api_token": ["JIRA_API_TOKEN"] },
            }),
        ]
    );
    assert!(left_out.is_empty());
    assert!(
        !json!(made).to_string().contains('<'),
        "no value of a variable is shown"
    );
}

#[test]
fn complaints_of_the_api_are_brought_back_to_the_block() {
    let file = read(
        "integrations:\n  slack:\n    enabled: true\n    channel: x\n    notify_on:\n      - pr_merged\n      - \
         \"a.>.b\"\n  email:\n    enabled: true\n    from: a\n    recipients:\n      pr_created:\n        - b\n",
    );
    let complaints = [
        (0, "config/channel"),
        (0, "config/webhook_url"),
        (0, "events/1"),
        (0, "config/colour"),
        (0, ""),
        (1, "config/recipients/pr.created/0"),
        (1, "config/from"),
    ]
    .map(|(index, field)| (index.to_string(), field.to_owned(), "is bad".to_owned()));
    assert_eq!(
        file.explain(complaints.into_iter())
            .to_string()
            .lines()
            .collect::<Vec<_>>(),
        [
            "i.yaml:2: integrations.slack.webhook_url (from SLACK_WEBHOOK_URL): is bad",
            "i.yaml:2: integrations.slack.colour: is bad",
            "i.yaml:2: integrations.slack: is bad",
            "i.yaml:4: integrations.slack.channel: is bad",
            "i.yaml:7: integrations.slack.notify_on[1]: is bad",
            "i.yaml:10: integrations.email.from: is bad",
            "i.yaml:13: integrations.email.recipients.pr_created[0]: is bad",
        ]
    );
}

#[test]
fn every_slip_is_told_at_once_with_its_line() {
    let error = refused(
        "integrations:\n  slack:\n    enabled: yes please\n    chanel: x\n    notify_on: [pr_mergd, pr_created, \
         pr.created]\n  slak: {}\n  telegram: {}\n  discord: true\n  sentry: { enabled: true }\n  pagerduty:\n    \
         enabled: true\n    alert_on: alert_created\n",
        LATER,
    );
    assert_eq!(
        error.lines().collect::<Vec<_>>(),
        [
            "i.yaml:3: integrations.slack.enabled: is a text, neither true nor false",
            "i.yaml:4: integrations.slack.chanel: is not a field here: did you mean channel?",
            "i.yaml:5: integrations.slack.notify_on[0]: \"pr_mergd\" is not the name of a built-in event: there are \
             pr_created, pr_merged (other types are written with dots)",
            "i.yaml:5: integrations.slack.notify_on[2]: is there twice",
            "i.yaml:6: integrations.slak: is no block of this form: did you mean slack?",
            "i.yaml:7: integrations.telegram: is no block of this form: write `integrations` as a list, with `- name: \
             telegram` and `provider: telegram`",
            "i.yaml:8: integrations.discord: is true or false, not a block of fields such as `enabled: true`",
            "i.yaml:9: integrations.sentry: names no events: add some, as in `report_on: [implementation_failed]`",
            "i.yaml:12: integrations.pagerduty.alert_on: is a text, not a list of events",
        ]
    );
}

#[test]
fn two_of_one_name_are_refused() {
    let error = refused(
        "integrations:\n  slack: { enabled: true, notify_on: [tick] }\n  webhooks:\n    enabled: true\n    endpoints:\n      \
         - name: slack\n        url: https://example.com\n        events: [tick]\n",
        LATER,
    );
    assert_eq!(
        error,
        "i.yaml:6: integrations.webhooks.endpoints[0].name: \"slack\" is also the name of integrations.slack"
    );
}

#[test]
fn all_missing_variables_are_told_together_and_what_they_are_for() {
    let reading = Reading {
        variable: &|name| (name == "SMTP_HOST").then(String::new),
        file: &|path| Err(format!("cannot read {path}")),
        skip_unavailable: false,
        version: LATER,
    };
    let text = "integrations:\n  slack: { enabled: true, notify_on: [tick] }\n  github_projects: { enabled: true }\n  \
                email: { enabled: true, username: a, password: \"${PW}\", recipients: { pr_created: [a] } }\n";
    let error = File::read(Path::new("i.yaml"), text, &reading)
        .expect_err("refused")
        .to_string();
    assert_eq!(
        error.lines().collect::<Vec<_>>(),
        [
            "i.yaml:2: integrations.slack: needs SLACK_WEBHOOK_URL, which is not set: the address of the incoming webhook; \
             set it, or write `webhook_url` here",
            "i.yaml:3: integrations.github_projects: needs GITHUB_REPOSITORY_OWNER, which is not set: the user or \
             organization that owns the project; set it, or write `owner` here",
            "i.yaml:3: integrations.github_projects: needs GITHUB_TOKEN or GH_TOKEN, which is not set: a token that may \
             write projects (the one that GitHub Actions makes may not); set it, or write `token` here",
            "i.yaml:4: integrations.email.password: the variable PW is not set",
            "i.yaml:4: integrations.email: needs SMTP_HOST, which is not set: the name of the mail server; set it, or \
             write `smtp.host` here",
        ]
    );
}

#[test]
fn what_this_version_does_not_have_is_refused_by_name_and_version_or_left_out_where_asked() {
    let text = "integrations:\n  slack: { enabled: true, notify_on: [tick] }\n  jira: { enabled: true, notify_on: \
                [tick] }\n  linear: { enabled: true }\n  azure_devops: { enabled: false }\nnotifications:\n  rate_limit:\n    \
                max_per_hour: 30\n    max_per_day: 100\n";
    let error = read_without("LINEAR_API_KEY", text, false, NOW).expect_err("refused");
    assert_eq!(
        error.lines().collect::<Vec<_>>(),
        [
            "i.yaml:3: integrations.jira: the provider jira is not in this version",
            "i.yaml:4: integrations.linear: the provider linear comes with version 99.1.0",
            "i.yaml:4: integrations.linear: needs LINEAR_API_KEY, which is not set: the API key; set it, or write \
             `api_key` here",
            &format!(
                "2 of these are in later versions than this one ({}): --skip-unavailable leaves them out and goes on with \
                 the rest",
                env!("CARGO_PKG_VERSION")
            ),
        ]
    );
    let file = read_without("LINEAR_API_KEY", text, true, NOW).expect("the rest");
    assert_eq!(values(&file).len(), 1);
    assert_eq!(values(&file)[0]["name"], "slack");
    assert_eq!(
        values(&file)[0]["rate_limit"],
        json!({ "per_hour": 30, "per_day": 100 })
    );
    assert_eq!(
        file.remarks(),
        [
            "left out: integrations.jira: the provider jira is not in this version",
            "left out: integrations.linear: the provider linear comes with version 99.1.0",
            "left out: integrations.azure_devops: it is disabled, and the provider azure_devops comes with version 99.1.0",
        ]
    );
}

#[test]
fn the_limit_of_notifications_goes_to_those_alone() {
    let text = "integrations:\n  slack: { enabled: true, notify_on: [tick] }\n  jira: { enabled: true }\n  email: { \
                enabled: true, recipients: { pr_created: [a] } }\nnotifications: { rate_limit: { max_per_hour: 30 } }\n";
    let file = read(text);
    let limits: Vec<(&str, Option<&Value>)> = file
        .integrations()
        .iter()
        .map(|made| (made.name(), made.value().get("rate_limit")))
        .collect();
    let limit = json!({ "per_hour": 30 });
    assert_eq!(
        limits,
        [("slack", Some(&limit)), ("jira", None), ("email", Some(&limit))]
    );
    let complaint = ("0".to_owned(), "rate_limit/per_hour".to_owned(), "is bad".to_owned());
    assert_eq!(
        file.explain([complaint].into_iter()).to_string(),
        "i.yaml:5: notifications.rate_limit.max_per_hour: is bad"
    );
    for (given, part) in [
        ("{ max_per_hour: 0 }", "max_per_hour: is not a whole number above 0"),
        ("{ max_per_day: many }", "max_per_day: is not a whole number above 0"),
        (
            "{ max_per_hours: 1 }",
            "max_per_hours: is not a field here: did you mean max_per_hour?",
        ),
        ("{}", "notifications.rate_limit: limits nothing"),
        ("30", "notifications.rate_limit: is a number"),
    ] {
        let error = refused(&format!("notifications: {{ rate_limit: {given} }}"), LATER);
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_disabled_block_needs_no_secrets() {
    let text = "integrations:\n  slack: { enabled: false, channel: x, notify_on: [tick] }\n  webhooks:\n    enabled: \
                false\n    endpoints: [{ name: a, url: \"https://example.com\", events: [tick], secret: \"${NOPE}\" }]\n";
    let mut file = read_without("SLACK_WEBHOOK_URL", text, false, NOW).expect("a file");
    // The mask stands for what is stored, so that what was applied once can be switched off.
    assert_eq!(
        values(&file)[0],
        &json!({
            "name": "slack", "provider": "slack", "enabled": false, "events": ["tick"], "credentials": {},
            "config": { "channel": "x", "webhook_url": "***" },
        })
    );
    assert_eq!(values(&file)[1]["credentials"], json!({ "secret": "***" }));
    let unset: Vec<&[String]> = file.integrations().iter().map(Made::unset).collect();
    assert_eq!(
        unset,
        [
            &["SLACK_WEBHOOK_URL is not set".to_owned()],
            &["the variable NOPE is not set".to_owned()]
        ]
    );
    file.leave_out("a", "it is gone");
    assert_eq!(values(&file).len(), 1);
    assert_eq!(
        file.remarks(),
        ["left out: integrations.webhooks.endpoints[0]: it is gone"]
    );
    let given = read_without("", text.replace("${NOPE}", "s").as_str(), false, NOW).expect("a file");
    assert!(given.integrations().iter().all(|made| made.unset().is_empty()));
}

#[test]
fn the_rest_of_a_larger_file_is_not_read_but_named() {
    let file = read(
        "version: 1\nspecs:\n  path: \"${{ not.ours }}\"\nintegrations:\n  slack: { notify_on: [tick] }\nnotification: \
         {}\nnotifications:\n  quiet: true\n",
    );
    assert_eq!(
        file.remarks(),
        [
            "warning: i.yaml: line 6: notification is not read: did you mean notifications?",
            "warning: i.yaml: only integrations and notifications are read here, not version (line 1), specs (line 2)",
            "warning: i.yaml: integrations.slack has no `enabled` and is taken as enabled",
            "warning: i.yaml: line 8: notifications.quiet is not read: only rate_limit is",
        ]
    );
    let error = refused("integrations: {}\njira: { enabled: true }\n", LATER);
    assert_eq!(error, "i.yaml:2: jira: stands beside `integrations`: move it below");
    assert!(values(&read("integrations: {}\n")).is_empty());
}
