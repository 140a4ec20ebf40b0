//! The one request to stop that all parts of a process share.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::Error;

/// Exit code after a second signal: the work in hand was left where it was.
pub const EXIT_AT_ONCE: i32 = 130;

/// Asked for once, seen by every clone. It says that the process should finish what it holds and leave.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// Not requested yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that is requested with this one, and can be requested alone.
    pub fn child(&self) -> Self {
        Self {
            token: self.token.child_token(),
        }
    }

    /// Asks everyone to stop. Further calls change nothing.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Whether it was asked for.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until it is asked for. May be dropped and called again, so it fits into a `select!`.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// From now on SIGTERM and SIGINT ask for the shutdown, and a second of either ends the process at once with
    /// [`EXIT_AT_ONCE`]. Called once, inside the runtime.
    pub fn on_signal(&self) -> Result<(), Error> {
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            let name = next(&mut terminate, &mut interrupt).await;
            info!(
                signal = name,
                "stopping: finishing what is in hand, a second signal ends at once"
            );
            shutdown.trigger();
            let name = next(&mut terminate, &mut interrupt).await;
            warn!(
                signal = name,
                "ending at once: what was in hand comes again after the next start"
            );
            std::process::exit(EXIT_AT_ONCE);
        });
        Ok(())
    }
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests;
