//! Every subject, stream, consumer, bucket and key, built here alone.
//!
//! A publish to a lane that no consumer reads would be accepted and lie there for ever, so names
//! are functions of typed parts, and the filters that consumers use stand beside them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{EventType, Name, Stage, hash, names::InvalidName, pattern::Pattern};

/// The stream of raw input.
pub const INGEST: &str = "INGEST";
/// The stream of accepted events.
pub const EVENTS: &str = "EVENTS";
/// The stream of deliveries that wait.
pub const PARKED: &str = "PARKED";
/// The stream of members of open digests.
pub const BATCH: &str = "BATCH";
/// The stream of deliveries that go in the order of their keys.
pub const ORDERED: &str = "ORDERED";
/// The stream of dead letters.
pub const DEAD: &str = "DEAD";
/// The stream of attempts and of events without a route.
pub const OUTCOMES: &str = "OUTCOMES";

/// The bucket of integrations, of orgs' own event types, of API keys by hash, and of orgs.
pub const CONFIG: &str = "SIGNALBOX_CONFIG";
/// The bucket of states, acts, markers of suspects.
pub const STATE: &str = "SIGNALBOX_STATE";
/// The bucket of leases, and of what is shared for a while.
pub const LEASE: &str = "SIGNALBOX_LEASE";
/// The bucket of what integrations remember of things at their targets.
pub const REFS: &str = "SIGNALBOX_REFS";
/// The bucket of idempotency keys and of what was answered to them.
pub const IDEMPOTENCY: &str = "SIGNALBOX_IDEMPOTENCY";

/// What producers publish to, seen by the stream INGEST.
pub const INPUT_ALL: &str = "signalbox.in.>";
/// What the subjects of all input begin with.
pub const INPUT_PREFIX: &str = "signalbox.in.";
const STORED_INPUT_PREFIX: &str = "signalbox.ingest.";

/// A share of a provider's stream with consumers of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// From the router.
    #[default]
    Live,
    /// Fired schedules.
    Retry,
    /// Deliveries with an order.
    Ordered,
    /// Replays and drains.
    Bulk,
}

impl Lane {
    /// All lanes; each has a consumer in every provider's stream.
    pub const ALL: [Self; 4] = [Self::Live, Self::Retry, Self::Ordered, Self::Bulk];

    /// The subject's token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Retry => "retry",
            Self::Ordered => "ordered",
            Self::Bulk => "bulk",
        }
    }
}

/// The partition of an org: the server's `partition(n, …)` over its name.
pub fn partition(org: &str, partitions: u32) -> u32 {
    hash::fnv1a(org.as_bytes()) % partitions.max(1)
}

/// Where a producer publishes an event.
pub fn input(org: &Name, event_type: &EventType) -> String {
    format!("{INPUT_PREFIX}{org}.{event_type}")
}

/// The subject as its producer wrote it, from the subject that INGEST stored.
pub fn given_input(stored: &str) -> String {
    match stored
        .strip_prefix(STORED_INPUT_PREFIX)
        .and_then(|rest| rest.split_once('.'))
    {
        Some((_partition, rest)) => format!("{INPUT_PREFIX}{rest}"),
        None => stored.to_owned(),
    }
}

/// Reads org and type from a subject as its producer wrote it.
pub fn read_input(given: &str) -> Result<(Name, EventType), InvalidName> {
    let rest = given.strip_prefix(INPUT_PREFIX).unwrap_or_default();
    let (org, event_type) = rest.split_once('.').unwrap_or((rest, ""));
    Ok((Name::from_str(org)?, EventType::from_str(event_type)?))
}

/// The mapping by which INGEST puts a partition token before the org: source, destination.
///
/// None with one partition: inputs are stored as they were written, which costs the server less.
pub fn input_transform(partitions: u32) -> Option<(String, String)> {
    (partitions > 1).then(|| {
        (
            format!("{INPUT_PREFIX}*.>"),
            format!("{STORED_INPUT_PREFIX}{{{{partition({partitions},1)}}}}.{{{{wildcard(1)}}}}.>"),
        )
    })
}

/// All that INGEST stores of an org.
pub fn inputs_of(org: &Name) -> [String; 2] {
    [
        format!("{INPUT_PREFIX}{org}.>"),
        format!("{STORED_INPUT_PREFIX}*.{org}.>"),
    ]
}

/// What the ingest consumer of a partition reads. Partition 0 also reads what has no type.
///
/// Nothing is filtered with one partition: it reads all.
pub fn input_filters(partition: u32, partitions: u32) -> Vec<String> {
    if partitions <= 1 {
        return Vec::new();
    }
    let own = format!("{STORED_INPUT_PREFIX}{partition}.>");
    if partition == 0 {
        vec![own, INPUT_ALL.to_owned()]
    } else {
        vec![own]
    }
}

/// Where an accepted event is stored.
pub fn event(org: &Name, event_type: &EventType, partitions: u32) -> String {
    format!(
        "signalbox.event.{}.{org}.{event_type}",
        partition(org.as_str(), partitions)
    )
}

/// All that EVENTS stores.
pub const EVENT_ALL: &str = "signalbox.event.>";

/// The accepted events of an org whose type a pattern covers: patterns of ours and of subjects are alike.
pub fn events_of(org: &Name, pattern: Option<&Pattern>) -> String {
    match pattern {
        None => format!("signalbox.event.*.{org}.>"),
        Some(pattern) => format!("signalbox.event.*.{org}.{}", pattern.as_str()),
    }
}

/// What the router's consumer of a partition reads.
///
/// Nothing is filtered with one partition: it reads all.
pub fn event_filters(partition: u32, partitions: u32) -> Vec<String> {
    if partitions <= 1 {
        Vec::new()
    } else {
        vec![format!("signalbox.event.{partition}.>")]
    }
}

/// The name of a provider's stream.
pub fn deliver_stream(provider: &Name) -> String {
    format!("DELIVER_{}", provider.as_str().to_ascii_uppercase())
}

/// The provider of a stream that [`deliver_stream`] named.
pub fn provider_of_stream(stream: &str) -> Option<Name> {
    stream.strip_prefix("DELIVER_")?.to_ascii_lowercase().parse().ok()
}

/// The subjects of a provider's stream: deliveries, and schedules that fire into them.
pub fn deliver_subjects(provider: &Name) -> Vec<String> {
    vec![
        format!("signalbox.deliver.{provider}.>"),
        format!("signalbox.retry.{provider}.>"),
    ]
}

/// Where a delivery waits for a worker.
pub fn deliver(provider: &Name, lane: Lane, org: &Name, integration: &str) -> String {
    format!("signalbox.deliver.{provider}.{}.{org}.{integration}", lane.as_str())
}

/// The lane of a delivery's subject.
pub fn lane_of(subject: &str) -> Option<Lane> {
    let token = subject.split('.').nth(3)?;
    Lane::ALL.into_iter().find(|lane| lane.as_str() == token)
}

/// What a lane's consumer reads.
pub fn deliver_filter(provider: &Name, lane: Lane) -> String {
    format!("signalbox.deliver.{provider}.{}.>", lane.as_str())
}

/// All that waits for a worker for one integration, in any lane. It names the org: with a wildcard there the server
/// would look through all that waits for all of them.
pub fn deliver_of(provider: &Name, org: &Name, integration: &str) -> String {
    format!("signalbox.deliver.{provider}.*.{org}.{integration}")
}

/// The schedules of one integration, in any lane.
pub fn retry_of(provider: &Name, org: &Name, integration: &str) -> String {
    schedules_of(provider, org, Some(integration))
}

/// All that a provider's stream holds for an org, or for one integration of it, as filters for readers.
pub fn waiting_of(provider: &Name, org: &Name, integration: Option<&str>) -> Vec<String> {
    match integration {
        // The subject of a schedule has one token more than that of a delivery in a lane.
        None => vec![format!("signalbox.*.{provider}.*.{org}.>")],
        Some(integration) => vec![
            deliver_of(provider, org, integration),
            retry_of(provider, org, integration),
        ],
    }
}

/// The schedules of an org, or of one integration of it.
pub fn schedules_of(provider: &Name, org: &Name, integration: Option<&str>) -> String {
    format!("signalbox.retry.{provider}.*.{org}.{}.*", integration.unwrap_or("*"))
}

/// The schedule of one delivery of an org, whatever its lane and integration.
pub fn schedule_of(provider: &Name, org: &Name, delivery: &str) -> String {
    format!("signalbox.retry.{provider}.*.{org}.*.{delivery}")
}

/// Where a delivery's schedule is kept: one subject a delivery, so that a new one replaces the old.
pub fn retry(provider: &Name, lane: Lane, org: &Name, integration: &str, delivery: &str) -> String {
    format!(
        "signalbox.retry.{provider}.{}.{org}.{integration}.{delivery}",
        lane.as_str()
    )
}

/// Where a delivery waits on disk.
pub fn parked(org: &Name, integration: &str) -> String {
    format!("signalbox.parked.{org}.{integration}")
}

/// The gate of an integration in PARKED.
pub fn gate(integration: &str) -> String {
    format!("signalbox.parkgate.{integration}")
}

/// All deliveries that wait on disk.
pub const PARKED_ALL: &str = "signalbox.parked.>";

/// All that PARKED stores.
pub const PARKED_SUBJECTS: [&str; 2] = [PARKED_ALL, "signalbox.parkgate.*"];

/// Where the next members of an integration's digest wait.
pub fn batch(org: &Name, integration: &str) -> String {
    format!("signalbox.batch.{org}.{integration}")
}

/// All that BATCH stores.
pub const BATCH_ALL: &str = "signalbox.batch.>";

/// The key in STATE that fixes the members of the digest that an integration closes.
pub fn manifest_key(integration: &str) -> String {
    format!("digest.{integration}")
}

/// The key in STATE that says what a drain of an integration has in hand of PARKED.
pub fn drain_key(integration: &str) -> String {
    format!("drain.{integration}")
}

/// Partitions of ORDERED in which a provider's keys fall. Each has one worker at a time.
pub const ORDER_PARTITIONS: u32 = 8;

/// The partition of an order key: the token that [`crate::delivery::order_key`] made.
pub fn order_partition(key: &str) -> u32 {
    hash::fnv1a(key.as_bytes()) % ORDER_PARTITIONS
}

/// All that ORDERED stores of an org, of any provider.
pub fn ordered_of(org: &Name) -> [String; 2] {
    [
        format!("signalbox.ordered.*.*.{org}.>"),
        format!("signalbox.orderedhead.*.*.{org}.>"),
    ]
}

/// Where a delivery waits for its turn among those of its key.
pub fn ordered(provider: &Name, org: &Name, integration: &str, key: &str) -> String {
    let partition = order_partition(key);
    format!("signalbox.ordered.{provider}.{partition}.{org}.{integration}.{key}")
}

/// Where the first delivery of a key is kept once it was tried.
pub fn ordered_head(provider: &Name, org: &Name, integration: &str, key: &str) -> String {
    let partition = order_partition(key);
    format!("signalbox.orderedhead.{provider}.{partition}.{org}.{integration}.{key}")
}

/// All that ORDERED stores of an integration, or of all of an org.
pub fn ordered_waiting(provider: &Name, org: &Name, integration: Option<&str>) -> [String; 2] {
    let integration = integration.unwrap_or("*");
    [
        format!("signalbox.ordered.{provider}.*.{org}.{integration}.*"),
        format!("signalbox.orderedhead.{provider}.*.{org}.{integration}.*"),
    ]
}

/// Where the worker of a partition marks how far it knows what was routed: what is stored before is seen before.
pub fn ordered_mark(provider: &Name, partition: u32) -> String {
    format!("signalbox.orderedmark.{provider}.{partition}.mark")
}

/// All that ORDERED stores for a partition of a provider. One filter: where there are several, the server looks
/// through many subjects for each message.
pub fn ordered_partition(provider: &Name, partition: u32) -> String {
    format!("signalbox.*.{provider}.{partition}.>")
}

/// All that ORDERED stores.
pub const ORDERED_SUBJECTS: [&str; 3] = [
    "signalbox.ordered.>",
    "signalbox.orderedhead.>",
    "signalbox.orderedmark.>",
];

/// All deliveries that ORDERED has.
pub const ORDERED_ALL: &str = "signalbox.ordered.>";

/// The deliveries that ORDERED has of a provider.
pub fn ordered_all(provider: &Name) -> String {
    format!("signalbox.ordered.{provider}.>")
}

/// What stands for a message of ORDERED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderedKind {
    /// A delivery behind those of its key.
    Queued,
    /// The state of the first of a key.
    Head,
    /// How far a worker knows what was routed.
    Mark,
}

/// Reads the kind and the key's token from a subject of ORDERED.
pub fn read_ordered(subject: &str) -> Option<(OrderedKind, &str)> {
    let kind = match subject.split('.').nth(1)? {
        "ordered" => OrderedKind::Queued,
        "orderedhead" => OrderedKind::Head,
        "orderedmark" => OrderedKind::Mark,
        _ => return None,
    };
    Some((kind, subject.rsplit('.').next()?))
}

/// The key in LEASE of a process that takes ordered deliveries of a provider: those that are there share the
/// partitions out.
pub fn ordered_worker(provider: &Name, instance: &str) -> String {
    format!("orderedworker.{provider}.{instance}")
}

/// The keys in LEASE of all that [`ordered_worker`] and [`ordered_lease`] name, as subjects of the bucket.
pub fn ordered_leases(provider: &Name) -> [String; 2] {
    [
        format!("$KV.{LEASE}.orderedworker.{provider}.*"),
        format!("$KV.{LEASE}.ordered.{provider}.*"),
    ]
}

/// The key in LEASE of a token of OAuth 2.0 that all workers share, sealed. Its name is a hash.
pub fn token_key(name: &str) -> String {
    format!("token.{name}")
}

/// The key in LEASE of the worker that fetches that token.
pub fn token_lease(name: &str) -> String {
    format!("tokenlease.{name}")
}

/// The key in LEASE of what a process tells of its sealing keys. `*` is any.
pub fn keyring_key(instance: &str) -> String {
    format!("keyring.{instance}")
}

/// The key in LEASE of the worker that has the ordered deliveries of a partition of a provider.
pub fn ordered_lease(provider: &Name, partition: u32) -> String {
    format!("ordered.{provider}.{partition}")
}

/// The key in STATE that says who owns a partition of ORDERED, and how its owners before ended.
pub fn ordered_run(provider: &Name, partition: u32) -> String {
    format!("orderrun.{provider}.{partition}")
}

/// Where a dead letter is stored. A part that is not known is `-`.
pub fn dead(stage: Stage, org: Option<&Name>, provider: Option<&Name>, integration: Option<&str>) -> String {
    format!(
        "signalbox.dead.{}.{}.{}.{}",
        stage.as_str(),
        org.map_or("-", Name::as_str),
        provider.map_or("-", Name::as_str),
        integration.unwrap_or("-"),
    )
}

/// The dead letters that a reader asks for; a part that is not given is any.
pub fn dead_filter(
    stage: Option<Stage>,
    org: Option<&str>,
    provider: Option<&str>,
    integration: Option<&str>,
) -> String {
    format!(
        "signalbox.dead.{}.{}.{}.{}",
        stage.map_or("*", Stage::as_str),
        org.unwrap_or("*"),
        provider.unwrap_or("*"),
        integration.unwrap_or("*"),
    )
}

/// Where an act's marks are stored.
pub fn dead_mark(act: &str) -> String {
    format!("signalbox.deadmark.{act}")
}

/// All marks.
pub const DEAD_MARKS: &str = "signalbox.deadmark.*";

/// All dead letters.
pub const DEAD_ALL: &str = "signalbox.dead.>";

/// All that DEAD stores.
pub const DEAD_SUBJECTS: [&str; 2] = [DEAD_ALL, DEAD_MARKS];

/// Where a role's instance reports outcomes.
pub fn outcome(role: &str, instance: &str) -> String {
    format!("signalbox.outcome.{role}.{instance}")
}

/// All that OUTCOMES stores.
pub const OUTCOME_ALL: &str = "signalbox.outcome.>";

/// The durable consumer of ingest for a partition.
pub fn ingest_consumer(partition: u32) -> String {
    format!("ingest-{partition}")
}

/// The durable consumer of the router for a partition.
pub fn router_consumer(partition: u32) -> String {
    format!("router-{partition}")
}

/// The durable consumer of a provider's lane.
pub fn deliver_consumer(provider: &Name, lane: Lane) -> String {
    format!("deliver-{provider}-{}", lane.as_str())
}

/// The consumer that takes what an integration has parked out again.
pub fn unpark_consumer(integration: &str) -> String {
    format!("unpark-{integration}")
}

/// The key of an integration in CONFIG.
pub fn integration_key(id: &str) -> String {
    format!("integration.{id}")
}

/// The key in CONFIG with which versions before the database reserved an integration's name. Nobody writes it any more,
/// as the database refuses a name that is taken; what is left of it goes when its org is erased.
pub fn name_key(org: &Name, name: &Name) -> String {
    format!("name.{org}.{name}")
}

/// The keys in CONFIG of [`name_key`] for all integrations of an org.
pub fn name_keys(org: &Name) -> String {
    format!("name.{org}.*")
}

/// The key in CONFIG of an event type that an org registered. `>` in the place of the type is all of the org's.
pub fn type_key(org: &str, event_type: &str) -> String {
    format!("type.{org}.{event_type}")
}

/// Reads org and type from a key of [`type_key`].
pub fn read_type_key(key: &str) -> Option<(Name, EventType)> {
    let (org, event_type) = key.strip_prefix("type.")?.split_once('.')?;
    Some((org.parse().ok()?, event_type.parse().ok()?))
}

/// The key in CONFIG of an API key, by the SHA-256 of its text as 64 hexadecimal digits in lower case. `*` is any.
pub fn key_key(hash_hex: &str) -> String {
    format!("key.{hash_hex}")
}

/// Reads the digits from a key of [`key_key`].
pub fn read_key_key(key: &str) -> Option<&str> {
    key.strip_prefix("key.")
}

/// The key in CONFIG of an org. `*` is any.
pub fn org_key(org: &str) -> String {
    format!("org.{org}")
}

/// Reads the org from a key of [`org_key`].
pub fn read_org_key(key: &str) -> Option<Name> {
    key.strip_prefix("org.")?.parse().ok()
}

/// The key in IDEMPOTENCY of an `Idempotency-Key`, by its hash.
pub fn idempotency_key(org: &Name, hash: &str) -> String {
    format!("key.{org}.{hash}")
}

/// The key of an integration's state in STATE.
pub fn state_key(integration: &str) -> String {
    format!("integration.{integration}")
}

/// The key in STATE of the health checks of an integration.
pub fn health_key(integration: &str) -> String {
    format!("health.{integration}")
}

/// The key in STATE of what an integration has counted.
pub fn totals_key(integration: &str) -> String {
    format!("totals.{integration}")
}

/// The key in LEASE of who tells the target of an integration what was counted.
pub fn totals_lease(integration: &str) -> String {
    format!("totals.{integration}")
}

/// The key in REFS of what an integration remembers of one thing, by the hash of its name; `*` for all things.
pub fn refs_key(integration: &str, thing: &str) -> String {
    format!("{integration}.{thing}")
}

/// The key in LEASE of who is at one thing of an integration; `*` for all things.
pub fn refs_lease(integration: &str, thing: &str) -> String {
    format!("refs.{integration}.{thing}")
}

/// The key of an act in STATE.
pub fn act_key(act: &str) -> String {
    format!("act.{act}")
}

/// The key in STATE of the high-water marks that something is above.
pub const fn marks_key() -> &'static str {
    "bounds.marks"
}

/// The key in STATE of the storage budget.
pub const fn budget_key() -> &'static str {
    "bounds.budget"
}

/// The key in STATE of the generation that was drawn last for a replay.
pub const fn generation_key() -> &'static str {
    "generation"
}

/// The key in STATE that marks a message being handled alone because it is suspect.
pub fn suspect_key(stream: &str, seq: u64) -> String {
    format!("suspect.{stream}.{seq}")
}

#[cfg(test)]
mod tests;

/// The counter of an integration for one span of a window.
pub fn rate(window: &str, integration: &str, epoch: i64) -> String {
    format!("signalbox.rate.{window}.{integration}.{epoch}")
}

/// All counters of a window.
pub fn rate_all(window: &str) -> String {
    format!("signalbox.rate.{window}.>")
}

/// Whether a subject is that of a schedule.
pub fn is_retry(subject: &str) -> bool {
    subject.starts_with("signalbox.retry.")
}

/// Whether a subject is that of an act's mark.
pub fn is_dead_mark(subject: &str) -> bool {
    subject.starts_with("signalbox.deadmark.")
}
