//! What the roles of one process share.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{Error, Health, Metrics, Shutdown, Tracer};

/// Random bytes in the name of an instance.
const INSTANCE_BYTES: usize = 6;

/// One process of Signalbox, as each of its roles sees it. Clones share everything.
#[derive(Clone, Debug)]
pub struct Process {
    /// Tells this process from others in logs, leases and subjects: 8 characters of `A-Z`, `a-z`, `0-9`, `_` and `-`.
    pub instance: String,
    /// What `/healthz` and `/readyz` answer.
    pub health: Health,
    /// What `/metrics` answers.
    pub metrics: Metrics,
    /// Where spans go.
    pub tracer: Tracer,
    /// Says when to stop.
    pub shutdown: Shutdown,
}

impl Process {
    /// A process under a new name.
    pub fn new(health: Health, metrics: Metrics, tracer: Tracer, shutdown: Shutdown) -> Result<Self, Error> {
        let mut random = [0; INSTANCE_BYTES];
        getrandom::fill(&mut random).map_err(Error::Random)?;
        Ok(Self {
            instance: URL_SAFE_NO_PAD.encode(random),
            health,
            metrics,
            tracer,
            shutdown,
        })
    }
}
