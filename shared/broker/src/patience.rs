//! Waiting for what only needs time: a leader to be chosen, a server to come back.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use crate::Error;

/// The first and the last wait between two tries.
const WAIT_FIRST: Duration = Duration::from_millis(200);
const WAIT_LAST: Duration = Duration::from_secs(5);

/// Tries again, for as long as it takes, whatever fails in a way that passes by itself; says so each
/// time. Other errors are returned.
pub async fn patiently<T, F: Future<Output = Result<T, Error>>>(
    what: &str,
    operation: impl FnMut() -> F,
) -> Result<T, Error> {
    operation
        .retry(
            ExponentialBuilder::new()
                .with_min_delay(WAIT_FIRST)
                .with_max_delay(WAIT_LAST)
                .with_jitter()
                .without_max_times(),
        )
        .when(Error::is_transient)
        .notify(|error, wait| {
            tracing::warn!(%error, wait_ms = wait.as_millis() as u64, "{what} does not work yet; trying again");
        })
        .await
}
