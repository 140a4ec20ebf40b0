//! `GET /v1/doctor`: what is wrong with this installation, and the remedy.

mod database;
mod room;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Json, extract::State};
use serde::Serialize;
use signalbox_broker::{
    Error as BrokerError,
    ledger::Report,
    topology::Consumer,
    waiting::{Look, Waiting},
};
use signalbox_matching::schema::Fault;
use signalbox_proto::{Integration, Lane, Name, Phase, State as Held, Timestamp, subjects, types::Registered};
use signalbox_runtime::{Problem, duration};
use utoipa::ToSchema;

use crate::{App, Shared, problems, request::Query, schema, sealing};

/// How far back the ledger is checked where a request does not say.
const SINCE: Duration = Duration::from_secs(3_600);
/// A delivery that nothing holds up should not wait this long for a worker.
const PENDING_LATE: Duration = Duration::from_secs(60);
/// Events or inputs that wait for a role without anyone taking them.
const BACKLOG_LATE: u64 = 100_000;
/// Shares of a stream's storage, in percent.
const STORAGE_WARN: u64 = 75;
const STORAGE_ERROR: u64 = 95;
/// Entries that a list in the answer holds at most.
const LIST_MAX: usize = 100;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = FindingLevel)]
enum Level {
    Ok,
    Warn,
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Finding {
    level: Level,
    what: String,
    /// What to do; absent where all is well
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    remedy: Option<String>,
}

/// What is wrong with the installation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DoctorReport)]
pub(crate) struct Answer {
    /// The worst of the findings
    status: Level,
    findings: Vec<Finding>,
    waiting: Lists,
    /// Whether every delivery that is owed has one end
    #[schema(value_type = schema::LedgerReport)]
    ledger: Report,
}

/// What waits.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WaitingReport)]
struct Lists {
    /// At most a hundred
    integrations: Vec<WaitingOf>,
    providers: BTreeMap<String, Sum>,
    orgs: BTreeMap<String, Sum>,
}

/// What waits for one integration.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WaitingOfIntegration)]
struct WaitingOf {
    integration_id: String,
    #[schema(value_type = Option<schema::Name>)]
    integration: Option<Name>,
    org: String,
    provider: String,
    pending: u64,
    retrying: u64,
    parked: u64,
    /// Seconds since the oldest came
    oldest_age_s: u64,
}

/// What waits for several.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = WaitingSum)]
struct Sum {
    pending: u64,
    retrying: u64,
    parked: u64,
    /// Seconds since the oldest came
    oldest_age_s: u64,
}

impl Sum {
    fn add(&mut self, waiting: &Waiting, now: Timestamp) {
        self.pending += waiting.pending;
        self.retrying += waiting.retrying;
        self.parked += waiting.parked;
        self.oldest_age_s = self.oldest_age_s.max(age_s(waiting, now));
    }
}

fn ok(what: impl Into<String>) -> Finding {
    Finding {
        level: Level::Ok,
        what: what.into(),
        remedy: None,
    }
}

fn warn(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding {
        level: Level::Warn,
        what: what.into(),
        remedy: Some(remedy.into()),
    }
}

fn error(what: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding {
        level: Level::Error,
        what: what.into(),
        remedy: Some(remedy.into()),
    }
}

pub(crate) async fn doctor(State(shared): App, mut query: Query) -> Result<Json<Answer>, Problem> {
    let now = Timestamp::now();
    let since = query.time("since", now)?.unwrap_or_else(|| now - SINCE);
    query.end()?;
    shared.directory.complete()?;
    let integrations = shared.directory.all();
    let mut findings = vec![ok(format!("nats-server is {}", shared.broker.server_version()))];
    findings.extend(shared.check_database(now).await);
    shared.check_streams(&mut findings).await.map_err(problems::broker)?;
    shared.check_room(now, &mut findings).await.map_err(problems::broker)?;
    shared
        .check_consumers(&integrations, &mut findings)
        .await
        .map_err(problems::broker)?;
    findings.extend(judge_types(&shared.broken_types().await.map_err(problems::broker)?));
    let look = shared.broker.look_at_waiting().await.map_err(problems::broker)?;
    findings.extend(judge_waiting(&look, now, &|id| shared.directory.state(id)));
    findings.extend(shared.check_keys(&integrations));
    findings.extend(
        integrations
            .iter()
            .filter_map(|integration| held(integration, &shared.directory.state(&integration.id))),
    );
    let ledger = shared.broker.check_ledger(since).await.map_err(problems::broker)?;
    findings.extend(judge_ledger(&ledger, since));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let worst = findings.first().map_or(Level::Ok, |finding| finding.level);
    Ok(Json(Answer {
        status: worst,
        findings,
        waiting: waiting(&shared, &look, now),
        ledger,
    }))
}

impl Shared {
    async fn check_streams(&self, findings: &mut Vec<Finding>) -> Result<(), BrokerError> {
        let drifts = self.broker.check_streams().await?;
        for drift in &drifts {
            let missing = drift.fields.iter().any(|field| field == "it is missing");
            let remedy = if missing {
                "start any role again, which makes it"
            } else {
                "change it with `nats stream edit`, or change the settings of section nats so that they say what is there"
            };
            let what = format!(
                "stream {} differs from its declaration: {}",
                drift.name,
                drift.fields.join("; ")
            );
            findings.push(error(what, remedy));
        }
        if drifts.is_empty() {
            findings.push(ok("the streams are as declared"));
        }
        for name in [subjects::INGEST, subjects::EVENTS, subjects::DEAD, subjects::OUTCOMES] {
            let state = self.broker.stream_state(name).await?;
            let Some(most) = state.bytes_max else { continue };
            let percent = state.bytes.saturating_mul(100) / most.max(1);
            let what = format!(
                "stream {name} holds {} messages in {percent} % of its storage",
                state.messages
            );
            let remedy = match name {
                subjects::DEAD => "replay or discard dead letters, or raise nats.storage_bytes",
                subjects::EVENTS => "raise nats.storage_bytes, or keep events for a shorter time (nats.events_age_s)",
                subjects::OUTCOMES => {
                    "raise nats.storage_bytes, or keep outcomes for a shorter time (nats.outcomes_age_s)"
                }
                _ => "see that ingest runs and keeps up, or raise nats.storage_bytes",
            };
            findings.push(match percent {
                STORAGE_ERROR.. => error(what, remedy),
                STORAGE_WARN.. => warn(what, remedy),
                _ => ok(what),
            });
        }
        Ok(())
    }

    async fn check_consumers(
        &self,
        integrations: &[Arc<Integration>],
        findings: &mut Vec<Finding>,
    ) -> Result<(), BrokerError> {
        let mut missing = 0;
        let partitions = self.broker.config().partitions;
        for partition in 0..partitions {
            for (role, consumer) in [
                ("ingest", Consumer::ingest(partition, partitions)),
                ("router", Consumer::router(partition, partitions)),
            ] {
                match consumer.progress(&self.broker).await {
                    Ok(progress) if progress.pending > BACKLOG_LATE => findings.push(warn(
                        format!("{} messages of {} wait for {role}", progress.pending, consumer.stream()),
                        format!("see that {role} runs; start more of it: `signalbox run {role}`"),
                    )),
                    Ok(_) => {}
                    Err(BrokerError::Request { .. }) => {
                        missing += 1;
                        findings.push(error(
                            format!("no {role} reads partition {partition} of {}", consumer.stream()),
                            format!("start one: `signalbox run {role}`"),
                        ));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        let mut wanted: Vec<Name> = integrations
            .iter()
            .map(|integration| integration.provider.clone())
            .collect();
        wanted.sort();
        wanted.dedup();
        let present = self.broker.providers().await?;
        for provider in &wanted {
            if !present.contains(provider) {
                missing += 1;
                findings.push(error(
                    format!("the stream of provider {provider} is missing"),
                    "start its worker, which makes it: `signalbox run delivery`",
                ));
                continue;
            }
            for lane in Lane::ALL {
                match Consumer::lane(provider, lane).progress(&self.broker).await {
                    Ok(_) => {}
                    Err(BrokerError::Request { .. }) => {
                        missing += 1;
                        findings.push(error(
                            format!("nothing reads lane {} of provider {provider}", lane.as_str()),
                            format!("start a worker, which makes the consumer: `signalbox run delivery --provider {provider}`"),
                        ));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if missing == 0 {
            findings.push(ok("every lane and partition has its consumer"));
        }
        Ok(())
    }

    fn check_keys(&self, integrations: &[Arc<Integration>]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut older = 0_usize;
        for integration in integrations {
            let Some(sealed) = &integration.sealed else { continue };
            match sealing::open(&self.keyring, integration) {
                Err(unreadable) => findings.push(error(
                    format!("the secrets of integration {}/{} do not open: {unreadable}", integration.org, integration.name),
                    "put the key that sealed them back into the key file, or apply the integration with its secrets again",
                )),
                Ok(_) if sealed.key_id != self.keyring.primary_id() => older += 1,
                Ok(_) => {}
            }
        }
        if findings.is_empty() {
            findings.push(ok("every sealed secret opens"));
        }
        if older > 0 {
            findings.push(ok(format!(
                "{older} integrations are sealed with an older key: keep it in the key file until `signalbox keys rotate-master` has ended"
            )));
        }
        findings
    }
}

fn held(integration: &Integration, state: &Held) -> Option<Finding> {
    let name = format!("{}/{}", integration.org, integration.name);
    match state.phase {
        Phase::Open | Phase::Draining => None,
        Phase::Paused | Phase::Unknown => Some(warn(
            format!("integration {name} is paused since {}", state.since),
            format!(
                "signalbox integrations resume {} --org {}",
                integration.name, integration.org
            ),
        )),
        Phase::Suspended => Some(error(
            format!(
                "integration {name} is suspended since {}: {}",
                state.since, state.reason
            ),
            format!(
                "mend the target, then `signalbox integrations resume {} --org {}`",
                integration.name, integration.org
            ),
        )),
    }
}

fn judge_types(broken: &[(Registered, Fault)]) -> Vec<Finding> {
    let findings: Vec<Finding> = broken
        .iter()
        .take(LIST_MAX)
        .map(|(Registered { org, name, .. }, fault)| {
            error(
                format!("the schema of event type {name} of org {org} does not compile, so its events are not checked: {fault}"),
                format!("register it anew: `signalbox event-types put {name} --org {org} --schema @FILE`"),
            )
        })
        .collect();
    if findings.is_empty() {
        vec![ok("every schema of an event type compiles")]
    } else {
        findings
    }
}

fn judge_waiting(look: &Look, now: Timestamp, state: &dyn Fn(&str) -> Held) -> Vec<Finding> {
    let mut findings = Vec::new();
    for subject in look.orphans.iter().take(LIST_MAX) {
        findings.push(error(
            format!("messages lie under {subject}, which no consumer reads"),
            "they come from another version: run it to take them, or remove them with `nats stream purge --subject`",
        ));
    }
    for waiting in &look.integrations {
        let age = waiting.oldest.map(|oldest| now.since(oldest)).unwrap_or_default();
        if waiting.pending > 0 && age > PENDING_LATE && state(&waiting.integration).phase == Phase::Open {
            findings.push(warn(
                format!(
                    "{} deliveries of integration {} wait for a worker, the oldest since {}",
                    waiting.pending,
                    waiting.integration,
                    duration::format(Duration::from_secs(age.as_secs()))
                ),
                format!("see that the target answers in time, or start more workers: `signalbox run delivery --provider {}`", waiting.provider),
            ));
        }
        if findings.len() >= LIST_MAX {
            break;
        }
    }
    if look.cut {
        findings.push(warn(
            "more waits than is read in one look",
            "the counts below are lower bounds",
        ));
    }
    if findings.is_empty() {
        let total: u64 = look.integrations.iter().map(Waiting::total).sum();
        findings.push(ok(format!("{total} deliveries wait, none too long for a worker")));
    }
    findings
}

fn judge_ledger(report: &Report, since: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    if report.is_even() {
        findings.push(ok(format!(
            "the ledger is even since {}: {} events, {} deliveries, {} of them still moving",
            report.complete_since, report.events, report.deliveries, report.moving
        )));
    } else {
        findings.push(error(
            format!(
                "{} deliveries are missing from the ledger: no stream knows of them",
                report.missing
            ),
            "please report it with the output of `signalbox doctor --output json`; the events can be published again",
        ));
    }
    if report.complete_since > since {
        findings.push(ok(format!(
            "the ledger can be judged since {}; what is older was let go of",
            report.complete_since
        )));
    }
    if report.unreadable > 0 {
        findings.push(warn(
            format!("{} records cannot be read by this version", report.unreadable),
            "run the newest version of Signalbox that writes to these streams",
        ));
    }
    findings
}

/// What waits by integration, provider and org.
fn waiting(shared: &Shared, look: &Look, now: Timestamp) -> Lists {
    let mut lists = Lists {
        integrations: Vec::new(),
        providers: BTreeMap::new(),
        orgs: BTreeMap::new(),
    };
    for entry in &look.integrations {
        let known = shared.directory.by_id(&entry.integration);
        let provider = known
            .as_ref()
            .map_or_else(|| entry.provider.clone(), |known| known.provider.to_string());
        if lists.integrations.len() < LIST_MAX {
            lists.integrations.push(WaitingOf {
                integration_id: entry.integration.clone(),
                integration: known.map(|known| known.name.clone()),
                org: entry.org.clone(),
                provider: provider.clone(),
                pending: entry.pending,
                retrying: entry.retrying,
                parked: entry.parked,
                oldest_age_s: age_s(entry, now),
            });
        }
        lists.providers.entry(provider).or_default().add(entry, now);
        lists.orgs.entry(entry.org.clone()).or_default().add(entry, now);
    }
    lists
}

fn age_s(waiting: &Waiting, now: Timestamp) -> u64 {
    waiting
        .oldest
        .map(|oldest| now.since(oldest).as_secs())
        .unwrap_or_default()
}
