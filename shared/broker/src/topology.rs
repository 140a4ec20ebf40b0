//! Every stream, consumer and bucket, declared in one place, made or checked at start.
//!
//! What exists and differs is reported, never changed behind an operator's back.

use std::{collections::BTreeMap, time::Duration};

use async_nats::jetstream::{
    ErrorCode,
    consumer::{self, DeliverPolicy},
    context::{ConsumerInfoErrorKind, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind},
    kv,
    stream::{Compression, Config, DiscardPolicy, RetentionPolicy, StorageType, SubjectTransform},
};
use signalbox_proto::{Lane, Name, subjects};

use crate::{Broker, Error, idempotency, puller};

/// How long a message may be held without a sign before it is delivered again.
pub const ACK_WAIT: Duration = Duration::from_secs(20);
/// How often a holder says that it still works on a message.
pub const IN_PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// The duplicate window of EVENTS: a repeated event within it is one event.
pub const EVENTS_WINDOW: Duration = Duration::from_secs(300);
/// The duplicate window of streams of deliveries.
pub const HOP_WINDOW: Duration = Duration::from_secs(120);
/// Things that nothing has happened to for so long are forgotten.
pub const REFS_AGE: Duration = Duration::from_secs(400 * 24 * 3600);
/// The least window a server takes. INGEST does not rely on it.
pub const INGEST_WINDOW: Duration = Duration::from_millis(100);
/// Messages of a lane that all workers together may hold.
const LANE_PENDING_MAX: i64 = 20_000;
/// Room that the headers of an event of the greatest size may take in INGEST.
const INGEST_BYTES_MAX: i32 = 512 * 1024;

fn stream(name: &str, subjects: Vec<String>, replicas: usize) -> Config {
    Config {
        name: name.to_owned(),
        subjects,
        num_replicas: replicas,
        storage: StorageType::File,
        max_bytes: -1,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        allow_direct: true,
        ..Config::default()
    }
}

/// A share of the storage budget, in bytes.
fn share(broker: &Broker, percent: u64) -> i64 {
    i64::try_from(broker.config().storage_bytes / 100 * percent).unwrap_or(i64::MAX)
}

/// The streams that every installation has. Providers' streams are made when they are first wanted.
pub fn streams(broker: &Broker) -> Vec<Config> {
    let config = broker.config();
    let replicas = config.replicas;
    let transform = subjects::input_transform(config.partitions);
    vec![
        Config {
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            max_bytes: share(broker, 10),
            duplicate_window: INGEST_WINDOW,
            max_message_size: INGEST_BYTES_MAX,
            subject_transform: transform.map(|(source, destination)| SubjectTransform { source, destination }),
            ..stream(subjects::INGEST, vec![subjects::INPUT_ALL.to_owned()], replicas)
        },
        Config {
            discard: DiscardPolicy::New,
            max_bytes: share(broker, 40),
            max_age: Duration::from_secs(config.events_age_s),
            duplicate_window: EVENTS_WINDOW,
            allow_atomic_publish: true,
            ..stream(subjects::EVENTS, vec![subjects::EVENT_ALL.to_owned()], replicas)
        },
        Config {
            retention: RetentionPolicy::WorkQueue,
            duplicate_window: HOP_WINDOW,
            allow_rollup: true,
            compression: Some(Compression::S2),
            ..stream(
                subjects::PARKED,
                subjects::PARKED_SUBJECTS.map(str::to_owned).to_vec(),
                replicas,
            )
        },
        Config {
            retention: RetentionPolicy::WorkQueue,
            duplicate_window: HOP_WINDOW,
            ..stream(subjects::BATCH, vec![subjects::BATCH_ALL.to_owned()], replicas)
        },
        Config {
            // Its readers follow it, which a work queue does not allow; they remove what has ended.
            duplicate_window: HOP_WINDOW,
            allow_rollup: true,
            ..stream(
                subjects::ORDERED,
                subjects::ORDERED_SUBJECTS.map(str::to_owned).to_vec(),
                replicas,
            )
        },
        Config {
            discard: DiscardPolicy::New,
            max_bytes: share(broker, 10),
            max_age: Duration::from_secs(config.dead_age_s),
            duplicate_window: HOP_WINDOW,
            compression: Some(Compression::S2),
            ..stream(
                subjects::DEAD,
                subjects::DEAD_SUBJECTS.map(str::to_owned).to_vec(),
                replicas,
            )
        },
        Config {
            discard: DiscardPolicy::New,
            max_bytes: share(broker, 10),
            max_age: Duration::from_secs(config.outcomes_age_s),
            // Batches carry no message id: their readers join by identity.
            duplicate_window: INGEST_WINDOW,
            compression: Some(Compression::S2),
            ..stream(subjects::OUTCOMES, vec![subjects::OUTCOME_ALL.to_owned()], replicas)
        },
        counter(
            "RATE_SECOND",
            "second",
            StorageType::Memory,
            Duration::from_secs(10),
            replicas,
        ),
        counter(
            "RATE_MINUTE",
            "minute",
            StorageType::Memory,
            Duration::from_secs(300),
            replicas,
        ),
        counter(
            "RATE_HOUR",
            "hour",
            StorageType::File,
            Duration::from_secs(2 * 3_600),
            replicas,
        ),
        counter(
            "RATE_DAY",
            "day",
            StorageType::File,
            Duration::from_secs(2 * 86_400),
            replicas,
        ),
    ]
}

fn counter(name: &str, window: &str, storage: StorageType, max_age: Duration, replicas: usize) -> Config {
    Config {
        storage,
        max_age,
        max_messages_per_subject: 1,
        allow_message_counter: true,
        duplicate_window: INGEST_WINDOW,
        ..stream(name, vec![subjects::rate_all(window)], replicas)
    }
}

/// The stream of a provider: a work queue with schedules, and so without limits of its own, as a
/// stream with schedules would drop what is oldest.
pub fn deliver_stream(broker: &Broker, provider: &Name) -> Config {
    Config {
        retention: RetentionPolicy::WorkQueue,
        duplicate_window: HOP_WINDOW,
        allow_message_schedules: true,
        allow_rollup: true,
        ..stream(
            &subjects::deliver_stream(provider),
            subjects::deliver_subjects(provider),
            broker.config().replicas,
        )
    }
}

/// The key-value buckets.
pub fn buckets(broker: &Broker) -> Vec<kv::Config> {
    let bucket = |name: &str, history, limit_markers| kv::Config {
        bucket: name.to_owned(),
        history,
        num_replicas: broker.config().replicas,
        limit_markers,
        ..kv::Config::default()
    };
    vec![
        bucket(subjects::CONFIG, 5, None),
        bucket(subjects::STATE, 1, Some(Duration::from_secs(60))),
        // One value a key: an older one could rise again when the newer expires.
        bucket(subjects::LEASE, 1, Some(Duration::from_secs(60))),
        // What nothing has happened to for so long is forgotten.
        kv::Config {
            max_age: REFS_AGE,
            ..bucket(subjects::REFS, 1, Some(Duration::from_secs(60)))
        },
        // Full, it refuses new keys: none is forgotten before its time.
        kv::Config {
            max_age: idempotency::REMEMBERED,
            max_bytes: share(broker, 5),
            ..bucket(subjects::IDEMPOTENCY, 1, None)
        },
    ]
}

/// A difference between what is declared and what the server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The stream or bucket.
    pub name: String,
    /// What differs, one sentence a field.
    pub fields: Vec<String>,
}

impl Broker {
    /// Makes the streams and buckets that are missing and reports those that differ.
    pub async fn ensure_streams(&self) -> Result<Vec<Drift>, Error> {
        let mut drifts = Vec::new();
        for config in streams(self) {
            drifts.extend(self.ensure_stream(config).await?);
        }
        for config in buckets(self) {
            drifts.extend(self.ensure_bucket(config).await?);
        }
        for drift in &drifts {
            tracing::warn!(stream = %drift.name, fields = ?drift.fields, "a stream differs from its declaration");
        }
        Ok(drifts)
    }

    /// Makes the declared streams that are missing, and says nothing of those that differ.
    pub async fn make_missing(&self) -> Result<(), Error> {
        for config in streams(self) {
            self.ensure_stream(config).await?;
        }
        Ok(())
    }

    /// Makes a provider's stream and the consumers of its lanes, where they are missing. Called when
    /// its first integration is applied, before that is seen by a router.
    pub async fn ensure_provider(&self, provider: &Name) -> Result<Vec<Drift>, Error> {
        let drift = self.ensure_stream(deliver_stream(self, provider)).await?;
        for lane in Lane::ALL {
            Consumer::lane(provider, lane).ensure(self, 0).await?;
        }
        Ok(drift.into_iter().collect())
    }

    /// Which declared streams and buckets are missing or differ; changes nothing.
    pub async fn check_streams(&self) -> Result<Vec<Drift>, Error> {
        let mut drifts = Vec::new();
        for config in streams(self) {
            match self.stream_config(&config.name).await? {
                None => drifts.push(Drift {
                    name: config.name.clone(),
                    fields: vec!["it is missing".into()],
                }),
                Some(found) => drifts.extend(drift(&config, &found)),
            }
        }
        for config in buckets(self) {
            match self.stream_config(&bucket_stream(&config.bucket)).await? {
                None => drifts.push(Drift {
                    name: config.bucket.clone(),
                    fields: vec!["it is missing".into()],
                }),
                Some(found) => drifts.extend(bucket_drift(&config, &found)),
            }
        }
        Ok(drifts)
    }

    /// The providers that have a stream.
    pub async fn providers(&self) -> Result<Vec<Name>, Error> {
        use futures::TryStreamExt;
        let names: Vec<String> =
            self.jetstream()
                .stream_names()
                .try_collect()
                .await
                .map_err(|error| Error::Request {
                    what: "list of streams".into(),
                    reason: error.to_string(),
                })?;
        Ok(names
            .iter()
            .filter_map(|name| subjects::provider_of_stream(name))
            .collect())
    }

    async fn stream_config(&self, name: &str) -> Result<Option<Config>, Error> {
        match self.jetstream().get_stream(name).await {
            Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(Error::Request {
                what: format!("stream {name}"),
                reason: error.to_string(),
            }),
        }
    }

    async fn ensure_stream(&self, config: Config) -> Result<Option<Drift>, Error> {
        if let Some(found) = self.stream_config(&config.name).await? {
            return Ok(drift(&config, &found));
        }
        let (name, bytes) = (config.name.clone(), config.max_bytes);
        // Two roles may start at once: the same configuration made twice is no error.
        match self.jetstream().create_stream(config).await {
            Ok(_) => Ok(None),
            Err(error) => Err(match error.kind() {
                CreateStreamErrorKind::JetStream(said)
                    if said.error_code() == ErrorCode::STORAGE_RESOURCES_EXCEEDED =>
                {
                    Error::NoStorage {
                        stream: name,
                        bytes,
                        reason: said.to_string(),
                    }
                }
                _ => Error::Request {
                    what: format!("creation of stream {name}"),
                    reason: error.to_string(),
                },
            }),
        }
    }

    async fn ensure_bucket(&self, config: kv::Config) -> Result<Option<Drift>, Error> {
        let name = config.bucket.clone();
        if let Some(found) = self.stream_config(&bucket_stream(&name)).await? {
            return Ok(bucket_drift(&config, &found));
        }
        self.jetstream()
            .create_key_value(config)
            .await
            .map(|_| None)
            .map_err(|error| Error::Request {
                what: format!("creation of bucket {name}"),
                reason: error.to_string(),
            })
    }
}

fn bucket_stream(bucket: &str) -> String {
    format!("KV_{bucket}")
}

fn field<T: PartialEq + std::fmt::Debug>(fields: &mut Vec<String>, name: &str, declared: &T, found: &T) {
    if declared != found {
        fields.push(format!("{name} is {found:?}, declared {declared:?}"));
    }
}

/// The fields in which a bucket differs from its declaration.
fn bucket_drift(declared: &kv::Config, found: &Config) -> Option<Drift> {
    let mut fields = Vec::new();
    field(
        &mut fields,
        "history",
        &declared.history,
        &found.max_messages_per_subject,
    );
    field(&mut fields, "num_replicas", &declared.num_replicas, &found.num_replicas);
    field(&mut fields, "storage", &declared.storage, &found.storage);
    field(&mut fields, "max_age", &declared.max_age, &found.max_age);
    // 0 and -1 both mean without a bound.
    field(
        &mut fields,
        "max_bytes",
        &declared.max_bytes.max(0),
        &found.max_bytes.max(0),
    );
    field(
        &mut fields,
        "limit_markers",
        &declared.limit_markers,
        &found.subject_delete_marker_ttl,
    );
    (!fields.is_empty()).then(|| Drift {
        name: declared.bucket.clone(),
        fields,
    })
}

/// The fields in which a stream differs from its declaration.
fn drift(declared: &Config, found: &Config) -> Option<Drift> {
    let mut fields = Vec::new();
    field(&mut fields, "subjects", &declared.subjects, &found.subjects);
    field(&mut fields, "retention", &declared.retention, &found.retention);
    field(&mut fields, "storage", &declared.storage, &found.storage);
    field(&mut fields, "discard", &declared.discard, &found.discard);
    field(&mut fields, "max_bytes", &declared.max_bytes, &found.max_bytes);
    field(&mut fields, "max_msgs", &declared.max_messages, &found.max_messages);
    field(
        &mut fields,
        "max_msgs_per_subject",
        &declared.max_messages_per_subject,
        &found.max_messages_per_subject,
    );
    // 0 and -1 both mean without a bound.
    field(
        &mut fields,
        "max_msg_size",
        &declared.max_message_size.max(0),
        &found.max_message_size.max(0),
    );
    field(&mut fields, "max_age", &declared.max_age, &found.max_age);
    field(&mut fields, "num_replicas", &declared.num_replicas, &found.num_replicas);
    field(
        &mut fields,
        "duplicate_window",
        &declared.duplicate_window,
        &found.duplicate_window,
    );
    field(&mut fields, "allow_direct", &declared.allow_direct, &found.allow_direct);
    field(
        &mut fields,
        "allow_msg_schedules",
        &declared.allow_message_schedules,
        &found.allow_message_schedules,
    );
    field(
        &mut fields,
        "allow_msg_counter",
        &declared.allow_message_counter,
        &found.allow_message_counter,
    );
    field(
        &mut fields,
        "allow_atomic",
        &declared.allow_atomic_publish,
        &found.allow_atomic_publish,
    );
    field(&mut fields, "allow_rollup", &declared.allow_rollup, &found.allow_rollup);
    let compressed = |config: &Config| config.compression.clone().unwrap_or(Compression::None);
    field(&mut fields, "compression", &compressed(declared), &compressed(found));
    let transform = |config: &Config| {
        config
            .subject_transform
            .as_ref()
            .map(|t| (t.source.clone(), t.destination.clone()))
    };
    field(
        &mut fields,
        "subject_transform",
        &transform(declared),
        &transform(found),
    );
    (!fields.is_empty()).then(|| Drift {
        name: declared.name.clone(),
        fields,
    })
}

/// A pull consumer of ours: a durable one of a role, or one that follows a stream for a reader.
#[derive(Clone, Debug)]
pub struct Consumer {
    stream: String,
    config: consumer::pull::Config,
    follows: bool,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The newest message of each subject, then what comes.
    LastPerSubject,
    /// This sequence.
    Seq(u64),
    /// The first message stored at or after this time.
    Time(signalbox_proto::Timestamp),
}

impl Consumer {
    fn durable(stream: &str, name: String, filters: Vec<String>, pending_max: i64) -> Self {
        let mut config = consumer::pull::Config {
            durable_name: Some(name),
            ack_wait: ACK_WAIT,
            max_ack_pending: pending_max,
            ..puller::base()
        };
        set_filters(&mut config, filters);
        Self {
            stream: stream.to_owned(),
            config,
            follows: false,
        }
    }

    /// The consumer of ingest for a partition of INGEST.
    pub fn ingest(partition: u32, partitions: u32) -> Self {
        Self::durable(
            subjects::INGEST,
            subjects::ingest_consumer(partition),
            subjects::input_filters(partition, partitions),
            10_000,
        )
    }

    /// The consumer of the router for a partition of EVENTS.
    pub fn router(partition: u32, partitions: u32) -> Self {
        let filters = subjects::event_filters(partition, partitions);
        Self::durable(subjects::EVENTS, subjects::router_consumer(partition), filters, 10_000)
    }

    /// The consumer of a provider's lane.
    pub fn lane(provider: &Name, lane: Lane) -> Self {
        Self::durable(
            &subjects::deliver_stream(provider),
            subjects::deliver_consumer(provider, lane),
            vec![subjects::deliver_filter(provider, lane)],
            LANE_PENDING_MAX,
        )
    }

    /// The consumer that takes out what an integration has parked. Made on demand; the server
    /// forgets it five minutes after its last use.
    pub fn unpark(org: &Name, integration: &str) -> Self {
        let mut consumer = Self::durable(
            subjects::PARKED,
            subjects::unpark_consumer(integration),
            vec![subjects::parked(org, integration)],
            5_000,
        );
        consumer.config.inactive_threshold = Duration::from_secs(300);
        consumer
    }

    /// A reader's own view of a stream: nothing is acknowledged, nothing is taken away.
    pub fn follow(broker: &Broker, stream: &str, filters: Vec<String>, from: From) -> Self {
        let mut config = consumer::pull::Config {
            name: Some(reader_name(broker)),
            ack_policy: consumer::AckPolicy::None,
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: Duration::from_secs(60),
            deliver_policy: match from {
                From::LastPerSubject => DeliverPolicy::LastPerSubject,
                From::Seq(seq) => DeliverPolicy::ByStartSequence {
                    start_sequence: seq.max(1),
                },
                From::Time(at) => DeliverPolicy::ByStartTime {
                    start_time: time::OffsetDateTime::from(at),
                },
            },
            ..puller::base()
        };
        set_filters(&mut config, filters);
        Self {
            stream: stream.to_owned(),
            config,
            follows: true,
        }
    }

    /// The same, without the bodies of messages.
    #[must_use]
    pub fn headers_only(mut self) -> Self {
        self.config.headers_only = true;
        self
    }

    /// The stream it reads.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        self.config
            .durable_name
            .as_deref()
            .or(self.config.name.as_deref())
            .unwrap_or_default()
    }

    pub(crate) fn follows(&self) -> bool {
        self.follows
    }

    /// Whether it begins with the newest message of each subject; not any more once it was made again.
    pub(crate) fn is_snapshot(&self) -> bool {
        self.config.deliver_policy == DeliverPolicy::LastPerSubject
    }

    /// Makes it where it is missing, and returns how many messages it has not sent yet. One that
    /// follows is made anew each time, behind `last_seq`: what the one before has sent may be lost.
    pub(crate) async fn ensure(&mut self, broker: &Broker, last_seq: u64) -> Result<u64, Error> {
        if self.follows {
            self.config.name = Some(reader_name(broker));
            if last_seq > 0 {
                self.config.deliver_policy = DeliverPolicy::ByStartSequence {
                    start_sequence: last_seq + 1,
                };
            }
        }
        let fail = |error: String| Error::Request {
            what: format!("consumer {} of {}", self.name(), self.stream),
            reason: error,
        };
        let stream = broker
            .jetstream()
            .get_stream_no_info(&self.stream)
            .await
            .map_err(|error| fail(error.to_string()))?;
        if !self.follows {
            match stream.consumer_info(self.name()).await {
                Ok(info) if self.reads_like(&info.config) => return Ok(info.num_pending),
                // The number of partitions was changed: what each consumer reads follows it.
                Ok(_) => tracing::info!(consumer = self.name(), "a consumer reads something else from now on"),
                Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {}
                // Making it would change what exists behind an operator's back.
                Err(error) => return Err(fail(error.to_string())),
            }
        }
        let made = stream
            .create_consumer(self.config.clone())
            .await
            .map_err(|error| fail(error.to_string()))?;
        Ok(made.cached_info().num_pending)
    }

    /// Whether a consumer on the server reads the subjects that this one declares.
    fn reads_like(&self, found: &consumer::Config) -> bool {
        found.filter_subject == self.config.filter_subject && found.filter_subjects == self.config.filter_subjects
    }

    /// Where it stands.
    pub async fn progress(&self, broker: &Broker) -> Result<Progress, Error> {
        let subject = format!("CONSUMER.INFO.{}.{}", self.stream, self.name());
        let info: BTreeMap<String, serde_json::Value> = match broker.api(&subject, &serde_json::json!({})).await? {
            serde_json::Value::Object(fields) => fields.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        if let Some(error) = info.get("error") {
            return Err(Error::Request {
                what: subject,
                reason: error["description"].as_str().unwrap_or_default().to_owned(),
            });
        }
        let number = |value: Option<&serde_json::Value>| value.and_then(serde_json::Value::as_u64).unwrap_or_default();
        Ok(Progress {
            ack_floor: number(info.get("ack_floor").and_then(|floor| floor.get("stream_seq"))),
            delivered: number(info.get("delivered").and_then(|last| last.get("stream_seq"))),
            pending: number(info.get("num_pending")),
            ack_pending: number(info.get("num_ack_pending")),
        })
    }

    /// Forgets it on the server.
    pub async fn delete(&self, broker: &Broker) -> Result<(), Error> {
        let subject = format!("CONSUMER.DELETE.{}.{}", self.stream, self.name());
        broker.api(&subject, &serde_json::json!({})).await.map(|_| ())
    }
}

/// Where a consumer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// All up to this sequence of the stream is acknowledged.
    pub ack_floor: u64,
    /// The last sequence of the stream that was delivered.
    pub delivered: u64,
    /// Messages never delivered yet.
    pub pending: u64,
    /// Messages delivered and not acknowledged.
    pub ack_pending: u64,
}

fn reader_name(broker: &Broker) -> String {
    format!("follow-{}", broker.unique())
}

fn set_filters(config: &mut consumer::pull::Config, mut filters: Vec<String>) {
    if filters.len() == 1 {
        config.filter_subject = filters.remove(0);
    } else {
        config.filter_subjects = filters;
    }
}
/// Whether there is no stream of the name that was asked for.
pub(crate) fn is_missing(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(inner) if inner.error_code() == ErrorCode::STREAM_NOT_FOUND)
}
