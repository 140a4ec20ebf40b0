//! The blocks that the guide has: which integration each becomes, where its fields go, and which variables hold what
//! it does not say.

/// A kind of block. The endpoints of `webhooks` are blocks too.
pub(super) struct Block {
    /// Its key in the file.
    pub(super) key: &'static str,
    pub(super) provider: &'static str,
    /// The list of events that the guide gives it, for hints.
    pub(super) subscription: &'static str,
    /// What it wants where it does not say.
    pub(super) events: &'static [&'static str],
    pub(super) config: &'static [&'static str],
    pub(super) credentials: &'static [&'static str],
    pub(super) needs: &'static [Need],
}

/// A field that a variable of the environment fills.
pub(super) struct Need {
    /// As in `config/url`.
    pub(super) field: &'static str,
    /// The first that is set counts.
    pub(super) variables: &'static [&'static str],
    pub(super) what: &'static str,
    /// Not needed where the block gives one of these.
    pub(super) unless: &'static [&'static str],
}

/// Lists of events, which any block may have.
pub(super) const SUBSCRIPTIONS: [&str; 4] = ["notify_on", "alert_on", "report_on", "events"];
/// Lists of receivers by event, which say as well what is wanted.
pub(super) const RECIPIENTS: &str = "recipients";
/// The block that holds a list of others.
pub(super) const WEBHOOKS: &str = "webhooks";
/// The block that may become two.
pub(super) const DATADOG: &str = "datadog";

const SPECS: &[&str] = &["spec.*", "implementation.*", "pr.*"];
const SPECS_AND_VALIDATION: &[&str] = &["spec.*", "implementation.*", "pr.*", "validation.*"];

const fn need(field: &'static str, variables: &'static [&'static str], what: &'static str) -> Need {
    Need {
        field,
        variables,
        what,
        unless: &[],
    }
}

const BLOCKS: &[Block] = &[
    Block {
        key: "azure_devops",
        provider: "azure_devops",
        subscription: "notify_on",
        events: SPECS,
        config: &[
            "area_path",
            "base_url",
            "create_subtasks",
            "iteration_path",
            "link_pr",
            "organization",
            "project",
            "state_mappings",
            "subtask_type",
            "work_item_type",
        ],
        credentials: &["pat"],
        needs: &[
            need("config/organization", &["AZURE_DEVOPS_ORG"], "the organization's name"),
            need("config/project", &["AZURE_DEVOPS_PROJECT"], "the project's name"),
            need(
                "credentials/pat",
                &["AZURE_DEVOPS_PAT"],
                "a personal access token that may write work items",
            ),
        ],
    },
    Block {
        key: DATADOG,
        provider: "datadog",
        subscription: "report_on",
        events: SPECS_AND_VALIDATION,
        config: &[
            "action",
            "base_url",
            "event_tags",
            "metric_name",
            "metric_prefix",
            "send_events",
            "send_metrics",
            "site",
            "tags",
        ],
        credentials: &["api_key", "app_key"],
        needs: &[
            need("credentials/api_key", &["DATADOG_API_KEY"], "the API key"),
            need("credentials/app_key", &["DATADOG_APP_KEY"], "the application key"),
        ],
    },
    Block {
        key: "discord",
        provider: "discord",
        subscription: "notify_on",
        events: &[],
        config: &["avatar_url", "username", "webhook_url"],
        credentials: &[],
        needs: &[need(
            "config/webhook_url",
            &["DISCORD_WEBHOOK_URL"],
            "the address of the channel's webhook",
        )],
    },
    Block {
        key: "email",
        provider: "email",
        subscription: "recipients",
        events: &[],
        config: &[
            "from",
            "from_address",
            RECIPIENTS,
            "smtp",
            "smtp_host",
            "smtp_port",
            "to_addresses",
        ],
        credentials: &["password", "username"],
        needs: &[
            Need {
                field: "config/smtp/host",
                variables: &["SMTP_HOST"],
                what: "the name of the mail server",
                unless: &["config/smtp_host"],
            },
            need("credentials/username", &["SMTP_USER"], "the user at the mail server"),
            need(
                "credentials/password",
                &["SMTP_PASSWORD"],
                "the password at the mail server",
            ),
        ],
    },
    Block {
        key: "github_projects",
        provider: "github_projects",
        subscription: "notify_on",
        events: SPECS,
        config: &["base_url", "owner", "project_number", "status_field", "status_mappings"],
        credentials: &["token"],
        needs: &[
            need(
                "config/owner",
                &["GITHUB_REPOSITORY_OWNER"],
                "the user or organization that owns the project",
            ),
            need(
                "credentials/token",
                &["GITHUB_TOKEN", "GH_TOKEN"],
                "a token that may write projects (the one that GitHub Actions makes may not)",
            ),
        ],
    },
    Block {
        key: "jira",
        provider: "jira",
        subscription: "notify_on",
        events: SPECS,
        config: &[
            "base_url",
            "create_subtasks",
            "field_mappings",
            "issue_type",
            "link_pr",
            "project_key",
            "transition_on_approve",
            "transition_on_implement",
        ],
        credentials: &["api_token", "email"],
        needs: &[
            need("config/base_url", &["JIRA_BASE_URL"], "the address of the site"),
            need("credentials/email", &["JIRA_EMAIL"], "the user that owns the API token"),
            need("credentials/api_token", &["JIRA_API_TOKEN"], "the API token"),
        ],
    },
    Block {
        key: "linear",
        provider: "linear",
        subscription: "notify_on",
        events: SPECS,
        config: &["base_url", "labels", "state_mappings", "team_id"],
        credentials: &["api_key"],
        needs: &[need("credentials/api_key", &["LINEAR_API_KEY"], "the API key")],
    },
    Block {
        key: "new_relic",
        provider: "new_relic",
        subscription: "report_on",
        events: SPECS_AND_VALIDATION,
        config: &["account_id", "base_url", "event_type", "region"],
        credentials: &["api_key"],
        needs: &[need(
            "credentials/api_key",
            &["NEW_RELIC_API_KEY"],
            "the ingest license key",
        )],
    },
    Block {
        key: "opsgenie",
        provider: "opsgenie",
        subscription: "alert_on",
        events: &[],
        config: &["base_url", "priority", "region", "tags"],
        credentials: &["api_key"],
        needs: &[need(
            "credentials/api_key",
            &["OPSGENIE_API_KEY"],
            "the key of the API integration",
        )],
    },
    Block {
        key: "pagerduty",
        provider: "pagerduty",
        subscription: "alert_on",
        events: &[],
        config: &["base_url", "region", "severity"],
        credentials: &["routing_key"],
        needs: &[need(
            "credentials/routing_key",
            &["PAGERDUTY_ROUTING_KEY"],
            "the routing key of an Events API v2 integration",
        )],
    },
    Block {
        key: "sentry",
        provider: "sentry",
        subscription: "report_on",
        events: &[],
        config: &["environment"],
        credentials: &["dsn"],
        needs: &[need("credentials/dsn", &["SENTRY_DSN"], "the project's DSN")],
    },
    Block {
        key: "slack",
        provider: "slack",
        subscription: "notify_on",
        events: &[],
        config: &["base_url", "channel", "mention_on_failure", "webhook_url"],
        credentials: &["bot_token"],
        needs: &[Need {
            field: "config/webhook_url",
            variables: &["SLACK_WEBHOOK_URL"],
            what: "the address of the incoming webhook",
            unless: &["credentials/bot_token"],
        }],
    },
    Block {
        key: "teams",
        provider: "teams",
        subscription: "notify_on",
        events: &[],
        config: &["use_adaptive_cards", "webhook_url"],
        credentials: &[],
        needs: &[need(
            "config/webhook_url",
            &["TEAMS_WEBHOOK_URL"],
            "the address of the channel's webhook",
        )],
    },
    Block {
        key: WEBHOOKS,
        provider: "webhook",
        subscription: "events",
        events: &[],
        config: &["headers", "method", "payload", "retry_count", "signature", "url"],
        credentials: &["auth_header", "basic", "bearer", "oauth2", "secret", "secrets"],
        needs: &[],
    },
];

/// All blocks, by key.
pub(super) fn all() -> &'static [Block] {
    BLOCKS
}

/// The kind of block of this key.
pub(super) fn find(key: &str) -> Option<&'static Block> {
    let key = if key == "newrelic" { "new_relic" } else { key };
    BLOCKS.iter().find(|block| block.key == key)
}

impl Block {
    /// Where a field of the block goes: `config/channel`.
    pub(super) fn target(&self, field: &str) -> Option<String> {
        if self.config.contains(&field) {
            Some(format!("config/{field}"))
        } else if self.credentials.contains(&field) {
            Some(format!("credentials/{field}"))
        } else {
            None
        }
    }

    /// The fields that it takes beside `own` ones.
    pub(super) fn fields(&self, own: &[&'static str]) -> Vec<&'static str> {
        let mut fields = own.to_vec();
        fields.extend(self.config.iter().chain(self.credentials).chain(&SUBSCRIPTIONS));
        fields.sort_unstable();
        fields
    }
}

#[cfg(test)]
mod tests;
