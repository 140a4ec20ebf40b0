//! What the receiver of a scenario answers, and everything that it saw.
//!
//! An event's id names its run, its number and the microsecond of its publishing, so that nothing has to be looked up;
//! a digest's members are found in its body.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;

use super::{
    super::{
        receiver::{Reply, Request, Takes, event_id},
        tally::{read_id, write_id},
    },
    chance::Chance,
};

/// How long an unsteady target takes for an answer.
const MOMENT: Duration = Duration::from_millis(20);

/// What an integration's target does with requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Answer {
    #[default]
    Ok,
    Status(u16),
    Redirect,
    /// 200 after a while.
    Slow(Duration),
    Hang,
    Reset,
    /// 503 so many times in a hundred, else 200 after a moment, so that requests are under way at every time.
    Unsteady(u64),
    /// 503 for every so many-th event of a run that is below a number, else 200.
    Fails {
        run: u32,
        every: u64,
        below: u64,
    },
}

/// One event in one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub run: u32,
    /// Its number in the run.
    pub event: u64,
    pub integration: u64,
    /// When it was published and when it arrived, in microseconds after the begin.
    pub published_us: u64,
    pub at_us: u64,
    /// Stands for the `webhook-id`.
    pub delivery: u64,
    /// Whether it was answered 2xx.
    pub taken: bool,
    /// Whether it is the first of its event and integration that was.
    pub first: bool,
}

/// Shared by publisher and receiver.
#[derive(Clone, Debug)]
pub(super) struct Witness(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    /// The same moment by the wall clock.
    began_at: SystemTime,
    book: Mutex<Book>,
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Book {
    answers: HashMap<u64, Answer>,
    runs: Vec<Run>,
    chance: Chance,
    /// Requests whose body held no event of ours.
    unreadable: u64,
}

#[derive(Debug)]
struct Run {
    arrivals: Vec<Arrival>,
    taken: HashSet<(u64, u64)>,
    /// What was taken again.
    again: u64,
}

impl Witness {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            began_at: SystemTime::now(),
            book: Mutex::new(Book {
                answers: HashMap::new(),
                runs: Vec::new(),
                chance: Chance::new(seed),
                unreadable: 0,
            }),
        }))
    }

    /// Looks at what was seen so far.
    pub(super) fn book<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(&self.0.book.lock().expect("nothing panics while it holds the book"))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        change(&mut self.0.book.lock().expect("nothing panics while it holds the book"))
    }

    /// Begins a run of about so many events: room is made now, so that growing stops no request in its midst.
    pub(super) fn begin(&self, events: u64) -> u32 {
        let room = usize::try_from(events).unwrap_or_default();
        let run = Run {
            arrivals: Vec::with_capacity(room + room / 4),
            taken: HashSet::with_capacity(room),
            again: 0,
        };
        self.write(|book| {
            book.runs.push(run);
            u32::try_from(book.runs.len() - 1).expect("runs are few")
        })
    }

    /// From now on the target of an integration answers so.
    pub(super) fn answer(&self, integration: u64, answer: Answer) {
        self.write(|book| book.answers.insert(integration, answer));
    }

    /// Now, in microseconds after the begin.
    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Seconds of the wall clock, since 1970, of a moment.
    pub(super) fn wall_s(&self, at_us: u64) -> f64 {
        let at = self.0.began_at + Duration::from_micros(at_us);
        at.duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64())
    }

    /// Writes the id of an event that is published now.
    pub(super) fn write_id(&self, run: u32, event: u64, out: &mut String) {
        write_id(run, event, u128::from(self.now_us()), out);
    }

    fn arrived(&self, integration: u64, delivery: &str, body: &[u8]) -> Reply {
        let mut hasher = DefaultHasher::new();
        delivery.hash(&mut hasher);
        let (delivery, at_us) = (hasher.finish(), self.now_us());
        let members = members(body);
        self.write(|book| {
            let Some((run, event, _)) = members.first().copied() else {
                book.unreadable += 1;
                return Reply::Unreadable;
            };
            let reply = book.reply(integration, run, event);
            let taken = matches!(reply, Reply::Ok | Reply::Slow(_));
            for (run, event, published_us) in members {
                book.note(Arrival {
                    run,
                    event,
                    integration,
                    published_us,
                    at_us,
                    delivery,
                    taken,
                    first: false,
                });
            }
            reply
        })
    }
}

impl Takes for Witness {
    fn take(&self, integration: u64, request: &Request<'_>) -> Reply {
        let delivery = request.header("webhook-id").unwrap_or_default();
        self.arrived(integration, delivery, request.body)
    }
}

impl Book {
    /// What arrived in a run, in the order of its arrival.
    pub(super) fn of(&self, run: u32) -> impl Iterator<Item = &Arrival> {
        self.run(run).into_iter().flat_map(|run| &run.arrivals)
    }

    /// How many deliveries of a run were taken, each counted once.
    pub(super) fn delivered(&self, run: u32) -> u64 {
        self.run(run).map_or(0, |run| run.taken.len() as u64)
    }

    /// How many were taken again.
    pub(super) fn again(&self, run: u32) -> u64 {
        self.run(run).map_or(0, |run| run.again)
    }

    /// Requests whose body held no event of ours.
    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn run(&self, run: u32) -> Option<&Run> {
        self.runs.get(usize::try_from(run).ok()?)
    }

    fn reply(&mut self, integration: u64, run: u32, event: u64) -> Reply {
        let failed = Reply::Status(503);
        match self.answers.get(&integration).copied().unwrap_or_default() {
            Answer::Ok => Reply::Ok,
            Answer::Status(status) => Reply::Status(status),
            Answer::Redirect => Reply::Redirect,
            Answer::Slow(delay) => Reply::Slow(delay),
            Answer::Hang => Reply::Hang,
            Answer::Reset => Reply::Reset,
            Answer::Unsteady(percent) if self.chance.percent(percent) => failed,
            Answer::Fails { run: of, every, below } if run == of && event < below && event.is_multiple_of(every) => {
                failed
            }
            Answer::Unsteady(_) => Reply::Slow(MOMENT),
            Answer::Fails { .. } => Reply::Ok,
        }
    }

    fn note(&mut self, mut arrival: Arrival) {
        // Of a run that nobody has begun: an event of another benchmark on this port.
        let Some(run) = usize::try_from(arrival.run).ok().and_then(|run| self.runs.get_mut(run)) else {
            self.unreadable += 1;
            return;
        };
        if arrival.taken {
            arrival.first = run.taken.insert((arrival.event, arrival.integration));
            run.again += u64::from(!arrival.first);
        }
        run.arrivals.push(arrival);
    }
}

/// Run, number and microsecond of each event in a body: one, or those of a digest, wherever its form has them.
fn members(body: &[u8]) -> Vec<(u32, u64, u64)> {
    if let Some(id) = event_id(body).as_deref().and_then(read_id) {
        return vec![id];
    }
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        collect(&value, &mut found);
    }
    found
}

fn collect(value: &Value, found: &mut Vec<(u32, u64, u64)>) {
    match value {
        Value::Object(map) => {
            if let Some(id) = map.get("id").and_then(Value::as_str).and_then(read_id) {
                found.push(id);
            } else {
                map.values().for_each(|value| collect(value, found));
            }
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
