//! What can go wrong between us and the servers.

/// An error of the broker. Whether it passes by itself is [`Error::is_transient`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server's address cannot be read.
    #[error("nats.url: address {number} is not one such as nats://127.0.0.1:4222")]
    Url {
        /// Which of the addresses, from 1.
        number: usize,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A setting is wrong.
    #[error("{name}: {reason}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// The server lacks what we need.
    #[error(
        "nats-server {version} is too old: message schedules and counters need 2.12 or newer; \
         install a newer nats-server (`make tools` brings one) and start again"
    )]
    ServerTooOld {
        /// Its version.
        version: String,
    },
    /// The server takes too small messages.
    #[error(
        "the server's max_payload is {is} bytes, below the {min} that events of 256 KiB need on their later hops; \
         set max_payload in nats-server.conf",
        min = crate::MAX_PAYLOAD_MIN
    )]
    MaxPayload {
        /// What it takes.
        is: usize,
    },
    /// JetStream is off, or has no leader.
    #[error("JetStream does not answer ({reason}); enable it with `jetstream {{}}` in nats-server.conf")]
    NoJetStream {
        /// What the client says.
        reason: String,
    },
    /// The connection failed.
    #[error("the connection to NATS failed: {reason}")]
    Connection {
        /// What the client says.
        reason: String,
    },
    /// The server has less storage left than a stream may take.
    #[error(
        "the server has no room for the {bytes} bytes that stream {stream} may take ({reason}); lower \
         nats.storage_bytes, or raise max_file_store in nats-server.conf, or free space on the server's disk"
    )]
    NoStorage {
        /// Which.
        stream: String,
        /// The stream's bound.
        bytes: i64,
        /// What the server says.
        reason: String,
    },
    /// A request to the JetStream API failed.
    #[error("request {what} failed: {reason}")]
    Request {
        /// Which.
        what: String,
        /// What the client or server says.
        reason: String,
    },
    /// A key-value operation failed.
    #[error("cannot {what} in bucket {bucket}: {reason}")]
    Kv {
        /// The operation and key.
        what: String,
        /// The bucket.
        bucket: &'static str,
        /// What the client or server says.
        reason: String,
    },
    /// Someone else wrote the key first.
    #[error("{key} was changed by someone else meanwhile")]
    Conflict {
        /// The key.
        key: String,
    },
    /// A publish was refused or not acknowledged.
    #[error("cannot publish to {subject}")]
    Publish {
        /// Where to.
        subject: String,
        /// Why.
        #[source]
        source: crate::PublishError,
    },
    /// A message could not be written or read.
    #[error(transparent)]
    Wire(#[from] signalbox_proto::wire::Error),
}

impl Error {
    /// Whether trying again later may succeed without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { .. }
            | Self::Request { .. }
            | Self::Kv { .. }
            | Self::Conflict { .. }
            | Self::NoJetStream { .. } => true,
            Self::Publish { source, .. } => source.is_transient(),
            Self::Url { .. }
            | Self::Setting { .. }
            | Self::ServerTooOld { .. }
            | Self::MaxPayload { .. }
            | Self::NoStorage { .. }
            | Self::Wire(_) => false,
        }
    }
}
