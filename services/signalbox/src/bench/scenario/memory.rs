//! Resident memory of workers and server over the time of a scenario.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};

use super::super::{fleet::Fleet, report::median};
use crate::proc;

/// Pause between two readings.
const PAUSE: Duration = Duration::from_secs(1);
/// Points of the course that are told.
const POINTS: usize = 20;
/// Growth from the early readings to the late ones up to which memory counts as flat: what an allocator keeps.
const FLAT_RATIO: f64 = 1.10;
const FLAT_MB: f64 = 10.0;

/// Reads memory until it is dropped.
#[derive(Debug)]
pub(super) struct Memory {
    readings: Arc<Mutex<Vec<Reading>>>,
    task: JoinHandle<()>,
}

/// In millions of bytes; the worker's is the sum of all.
#[derive(Clone, Copy, Debug)]
struct Reading {
    after_s: f64,
    workers: f64,
    nats_server: f64,
}

impl Memory {
    /// Begins to read, of the processes that a fleet has now.
    pub(super) fn watch(fleet: &Fleet) -> anyhow::Result<Self> {
        let (workers, server) = (fleet.worker_pids(), fleet.server_pid()?);
        let readings: Arc<Mutex<Vec<Reading>>> = Arc::default();
        let noted = Arc::clone(&readings);
        let began = Instant::now();
        let task = tokio::spawn(async move {
            loop {
                // One that has ended is told of elsewhere.
                let of = |pid: u32| proc::resident_bytes(pid).map_or(0.0, |bytes| bytes as f64 / 1e6);
                let reading = Reading {
                    after_s: began.elapsed().as_secs_f64(),
                    workers: workers.iter().copied().map(of).sum(),
                    nats_server: of(server),
                };
                noted
                    .lock()
                    .expect("nothing panics while it holds the readings")
                    .push(reading);
                sleep(PAUSE).await;
            }
        });
        Ok(Self { readings, task })
    }

    /// The course of it, and whether the workers' was flat.
    pub(super) fn view(&self) -> (Value, bool) {
        let readings = self
            .readings
            .lock()
            .expect("nothing panics while it holds the readings");
        let every = readings.len().div_ceil(POINTS).max(1);
        let course: Vec<Value> = readings
            .iter()
            .step_by(every)
            .map(|reading| {
                json!([
                    reading.after_s.round(),
                    reading.workers.round(),
                    reading.nats_server.round()
                ])
            })
            .collect();
        let (early, late) = ends(&readings.iter().map(|reading| reading.workers).collect::<Vec<_>>());
        let flat = late <= early * FLAT_RATIO || late - early <= FLAT_MB;
        let most = |of: fn(&Reading) -> f64| readings.iter().map(of).fold(0.0, f64::max);
        let view = json!({
            "worker_early": early,
            "worker_late": late,
            "worker_most": most(|reading| reading.workers),
            "nats_server_most": most(|reading| reading.nats_server),
            "after_s_worker_nats": course,
        });
        (view, flat)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The medians of the second and of the last fifth: the first one is that of connections and code coming into memory.
fn ends(values: &[f64]) -> (f64, f64) {
    let fifth = (values.len() / 5).max(1);
    let part = |begin: usize| {
        let part: Vec<f64> = values.iter().skip(begin).take(fifth).copied().collect();
        if part.is_empty() { 0.0 } else { median(part) }
    };
    let begin = if values.len() >= 5 { fifth } else { 0 };
    (part(begin), part(values.len().saturating_sub(fifth)))
}

#[cfg(test)]
mod tests {
    use super::ends;

    #[test]
    fn growth_is_seen_and_the_start_is_not() {
        assert_eq!(ends(&[]), (0.0, 0.0));
        assert_eq!(ends(&[7.0]), (7.0, 7.0));
        assert_eq!(ends(&[1.0, 5.0, 5.0, 5.0, 6.0]), (5.0, 6.0));
    }
}
