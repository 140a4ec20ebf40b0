//! The processes that take part in a run, and what they use.

use std::time::Duration;

use anyhow::Context as _;

use super::report::Memory;
use crate::proc;

/// Who takes part in a run besides this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Processes {
    /// `None` for the bare pipeline, whose work is done by this process.
    pub signalbox: Option<u32>,
    pub nats_server: u32,
}

/// CPU time by process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cpu {
    pub signalbox: Duration,
    pub nats_server: Duration,
    /// This process.
    pub load: Duration,
}

impl Cpu {
    /// What was used after an earlier reading.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            signalbox: self.signalbox.saturating_sub(before.signalbox),
            nats_server: self.nats_server.saturating_sub(before.nats_server),
            load: self.load.saturating_sub(before.load),
        }
    }
}

impl Processes {
    /// What they have used so far.
    pub(super) fn cpu(self) -> anyhow::Result<Cpu> {
        let of = |pid: u32, name| proc::cpu(pid).with_context(|| format!("cannot read the CPU time of {name}"));
        Ok(Cpu {
            signalbox: self
                .signalbox
                .map_or(Ok(Duration::ZERO), |pid| of(pid, "signalbox up"))?,
            nats_server: of(self.nats_server, "nats-server")?,
            load: of(std::process::id(), "this process")?,
        })
    }

    /// What they hold now.
    pub(super) fn memory(self) -> anyhow::Result<Memory> {
        let of = |pid: u32| {
            proc::resident_bytes(pid)
                .map(|bytes| bytes as f64 / 1e6)
                .context("cannot read the memory of a process")
        };
        Ok(Memory {
            signalbox: self.signalbox.map_or(Ok(0.0), of)?,
            nats_server: of(self.nats_server)?,
            load: of(std::process::id())?,
        })
    }
}
