//! Waiting for what has to become true.

use std::time::{Duration, Instant};

/// Pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(25);

/// Looks again and again until `look` answers `Ok`; past the deadline the test fails with the last answer.
pub(crate) async fn eventually<T>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let began = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if began.elapsed() > deadline => panic!("{what}: not within {deadline:?}; last seen: {seen}"),
            Err(_) => tokio::time::sleep(LOOK_PAUSE).await,
        }
    }
}

/// Lets time pass while a load runs, so that what breaks next breaks in its midst. Never a way to wait for something.
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
