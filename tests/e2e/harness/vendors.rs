//! Doubles of all vendors that are called over HTTP: one target that takes and refuses requests in each vendor's words.

use serde_json::{Value, json};

use super::{
    sites::trackers,
    target::{Answer, Target},
};

/// How long a vendor asks to be left alone, in seconds.
pub(crate) const ASKED_SECS: u64 = 6;

/// The double of a vendor: the integration's name, what it is configured with, and what the vendor answers.
pub(crate) struct Door {
    pub(crate) name: &'static str,
    pub(crate) provider: &'static str,
    config: Value,
    credentials: Value,
    /// What it answers where it takes a request.
    pub(crate) yes: Answer,
    /// What it answers where it gets too many, and asks for [`ASKED_SECS`] of quiet.
    pub(crate) too_many: Answer,
}

impl Door {
    /// The integration of this name, without a limit of our own.
    pub(crate) fn integration(&self, events: &[&str]) -> Value {
        json!({
            "name": self.name, "provider": self.provider, "config": self.config, "credentials": self.credentials,
            "rate_limit": "none", "events": events,
        })
    }

    /// How the paths of its requests begin.
    pub(crate) fn path(&self) -> String {
        format!("/{}/", self.name)
    }
}

/// All providers that are called over HTTP, each below a path of its own.
pub(crate) fn doors(target: &Target) -> Vec<Door> {
    let asked = ASKED_SECS.to_string();
    let at = |path: &str| target.url(path);
    let too_many = || Answer::status(429);
    let retry_after = || too_many().header("Retry-After", &asked);
    let said = |status: u16, body: &str| Answer::status(status).body(body);
    let key = |letter: &str, length: usize| letter.repeat(length);
    let door = |name, provider, config, credentials, yes, too_many| Door {
        name,
        provider,
        config,
        credentials,
        yes,
        too_many,
    };
    let mut doors = vec![
        door(
            "slack",
            "slack",
            json!({ "webhook_url": at("/slack/services/T0/B0/x"), "mention_on_failure": ["@here"] }),
            json!({}),
            said(200, "ok"),
            retry_after(),
        ),
        door(
            "teams",
            "teams",
            json!({ "webhook_url": at("/teams/workflows/1/triggers/manual/paths/invoke?api-version=1&sig=x") }),
            json!({}),
            said(202, ""),
            retry_after(),
        ),
        door(
            "discord",
            "discord",
            json!({ "webhook_url": at("/discord/api/webhooks/1/token-of-the-webhook") }),
            json!({}),
            said(200, r#"{"id":"1","type":0}"#),
            too_many().body(&format!(r#"{{"message":"You are being rate limited.","retry_after":{asked}.0,"global":false}}"#)),
        ),
        door(
            "telegram",
            "telegram",
            json!({ "chat_id": "-1001234567890", "base_url": at("/telegram") }),
            json!({ "bot_token": "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1" }),
            said(
                200,
                r#"{"ok":true,"result":{"message_id":1,"date":1,"chat":{"id":-1001234567890,"type":"channel"}}}"#,
            ),
            too_many().body(&format!(r#"{{"ok":false,"error_code":429,"description":"Too Many Requests","parameters":{{"retry_after":{asked}}}}}"#)),
        ),
        door(
            "pagerduty",
            "pagerduty",
            json!({ "base_url": at("/pagerduty") }),
            json!({ "routing_key": key("a", 32) }),
            said(
                202,
                r#"{"status":"success","message":"Event processed","dedup_key":"x"}"#,
            ),
            retry_after(),
        ),
        door(
            "opsgenie",
            "opsgenie",
            json!({ "base_url": at("/opsgenie"), "tags": ["checkout"] }),
            json!({ "api_key": "00000000-0000-4000-8000-000000000000" }),
            said(
                202,
                r#"{"result":"Request will be processed","took":0.1,"requestId":"1"}"#,
            ),
            too_many().header("X-RateLimit-Period-In-Sec", &asked),
        ),
        door(
            "datadog-events",
            "datadog",
            json!({ "action": "event", "tags": ["team:shop"], "base_url": at("/datadog-events") }),
            json!({ "api_key": key("b", 32) }),
            said(202, r#"{"status":"ok"}"#),
            too_many().header("X-RateLimit-Reset", &asked),
        ),
        door(
            "datadog-metrics",
            "datadog",
            json!({ "action": "metric", "metric_prefix": "shop", "base_url": at("/datadog-metrics") }),
            json!({ "api_key": key("b", 32) }),
            said(202, r#"{"errors":[]}"#),
            too_many().header("X-RateLimit-Reset", &asked),
        ),
        door(
            "new_relic",
            "new_relic",
            json!({ "account_id": "1234567", "base_url": at("/new_relic") }),
            json!({ "api_key": key("c", 40) }),
            said(200, r#"{"success":true,"uuid":"1"}"#),
            retry_after(),
        ),
        door(
            "ntfy",
            "ntfy",
            json!({ "topic": "topic-of-the-team", "tags": ["checkout"], "base_url": at("/ntfy") }),
            json!({ "token": format!("tk_{}", key("l", 29)) }),
            said(
                200,
                r#"{"id":"xE73Iyuabi","time":1673542291,"expires":1673585491,"event":"message","topic":"topic-of-the-team","message":"x"}"#,
            ),
            retry_after().body(r#"{"code":42901,"http":429,"error":"limit reached: too many requests"}"#),
        ),
        door(
            "sentry",
            "sentry",
            json!({ "environment": "production" }),
            json!({ "dsn": at("/sentry/42").replace("http://", &format!("http://{}@", key("d", 32))) }),
            said(200, r#"{"id":"1"}"#),
            too_many().header("X-Sentry-Rate-Limits", &format!("{asked}:error:organization")),
        ),
        door(
            "prometheus",
            "prometheus",
            json!({ "pushgateway_url": at("/prometheus"), "job": "shop" }),
            json!({}),
            said(200, ""),
            retry_after(),
        ),
        door(
            "github-issues",
            "github",
            json!({ "repo": "acme/shop", "labels": ["signalbox"], "base_url": at("/github-issues") }),
            json!({ "token": key("f", 40) }),
            said(201, r#"{"number":1347,"html_url":"https://github.com/acme/shop/issues/1347"}"#),
            retry_after(),
        ),
        door(
            "github-workflow",
            "github",
            json!({
                "repo": "acme/shop", "action": "trigger_workflow", "workflow_id": "deploy.yml", "delivery_input": "delivery",
                "base_url": at("/github-workflow"),
            }),
            json!({ "token": key("f", 40) }),
            said(
                200,
                r#"{"workflow_run_id":30433642,"html_url":"https://github.com/acme/shop/actions/runs/30433642"}"#,
            ),
            retry_after(),
        ),
        door(
            "gitlab",
            "gitlab",
            json!({ "project": "acme/shop", "base_url": at("/gitlab") }),
            json!({ "token": key("g", 20), "trigger_token": key("h", 40) }),
            said(201, r#"{"id":257,"web_url":"https://gitlab.com/acme/shop/-/pipelines/257"}"#),
            retry_after(),
        ),
        door(
            "jenkins",
            "jenkins",
            json!({ "job": "shop/deploy", "base_url": at("/jenkins") }),
            json!({ "user": "signalbox", "api_token": key("i", 34) }),
            said(201, "").header("Location", "http://jenkins.internal:8080/queue/item/17/"),
            retry_after(),
        ),
        door(
            "s3",
            "s3",
            json!({ "bucket": "events", "endpoint": at("/s3"), "key_template": "{org}/{type}/{delivery}.jsonl" }),
            json!({ "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": key("e", 40) }),
            said(200, "").header("ETag", "\"1\""),
            retry_after(),
        ),
        door(
            "gcs",
            "gcs",
            json!({ "bucket": "events", "endpoint": at("/gcs"), "key_template": "{org}/{type}/{delivery}.jsonl" }),
            json!({ "service_account": include_str!("../../../shared/providers/src/gcs/account.json") }),
            said(200, "").header("ETag", "\"1\""),
            retry_after(),
        ),
        door(
            "webhook",
            "webhook",
            json!({ "url": at("/webhook/in") }),
            json!({ "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }),
            said(204, ""),
            retry_after(),
        ),
    ];
    doors.extend(trackers().iter().map(|tracker| {
        let (config, credentials) = tracker.set_up(target, tracker.door);
        let yes = tracker.answering(tracker.door);
        door(tracker.door, tracker.provider, config, credentials, yes, retry_after())
    }));
    for door in &doors {
        target.script_below(&door.path(), [door.yes.clone()]);
    }
    // Jenkins is asked once where its build waits, which is no more than a look.
    let waits = r#"{"_class":"hudson.model.Queue$WaitingItem"}"#;
    target.script(
        "/jenkins/queue/item/17/api/json?tree=executable%5Bnumber%2Curl%5D",
        [said(200, waits)],
    );
    doors
}
