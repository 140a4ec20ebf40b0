//! Who may have a connection, and the connections that wait for their next use: for transports that keep their own.
//!
//! A connection that is used holds a place; one that is idle holds none, and is closed where a place is needed that it
//! stands in the way of. Whatever a connection is, it does nothing with it but drop it: so it is tried without a server.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use crate::http::{IDLE_TIMEOUT, Kept};

/// Connections of a process, those that are used and those that are idle.
pub(crate) const CONNECTIONS_MAX: usize = 64;
/// Connections of one integration that are used at the same time. Where many are used by others it gets fewer: see
/// [`State::has_room`].
pub(crate) const INTEGRATION_MAX: usize = 16;
/// Most integrations of which it is remembered which server let us in.
const REMEMBERED_MAX: usize = 10_000;

/// Whose a connection is: never another integration's, and never one that was made with other settings.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) integration: String,
    /// Of servers and login.
    pub(crate) settings: [u8; 32],
}

/// The connections of a process.
pub(crate) struct Pool<C> {
    state: Mutex<State<C>>,
}

struct State<C> {
    lines: HashMap<Key, Line<C>>,
    used: usize,
    idle: usize,
    /// In the order in which they came. Whoever waits is a request that its worker has taken, and gives up after a time: so there
    /// are no more than workers take.
    waiting: VecDeque<Waiting<C>>,
    servers: Kept<Key, Arc<AtomicUsize>>,
    /// Whether somebody closes what is idle for too long.
    swept: bool,
}

/// The connections of one integration.
struct Line<C> {
    used: usize,
    /// The one that was used last is the last.
    idle: Vec<Idle<C>>,
}

struct Idle<C> {
    connection: C,
    since: Instant,
}

struct Waiting<C> {
    key: Key,
    call: oneshot::Sender<Place<C>>,
}

/// The right to one connection, until it is dropped.
pub(crate) struct Place<C> {
    pool: Arc<Pool<C>>,
    key: Key,
    connection: Option<C>,
    server: Arc<AtomicUsize>,
}

impl<C: Send + 'static> Pool<C> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                lines: HashMap::new(),
                used: 0,
                idle: 0,
                waiting: VecDeque::new(),
                servers: Kept::at_most(REMEMBERED_MAX),
                swept: false,
            }),
        })
    }

    /// Waits for a place. Dropping the future gives up the wait.
    pub(crate) async fn place(self: &Arc<Self>, key: &Key) -> Place<C> {
        let called = {
            let mut state = self.state();
            if !state.swept {
                state.swept = true;
                tokio::spawn(sweep(Arc::downgrade(self)));
            }
            // Those that wait have no room either: whoever has it was called when it came.
            if state.has_room(key) {
                return state.enter(self, key);
            }
            let (call, called) = oneshot::channel();
            state.waiting.push_back(Waiting { key: key.clone(), call });
            called
        };
        called.await.expect("whoever waits is called, as the pool is there")
    }
}

impl<C> Pool<C> {
    /// Ends the use of a place; its connection is kept, if there is one.
    fn leave(self: &Arc<Self>, key: &Key, connection: Option<C>) {
        let called = {
            let mut state = self.state();
            state.leave(key, connection);
            state.call(self)
        };
        for (call, place) in called {
            // One that has just given up leaves it to the next as it is dropped.
            call.send(place).ok();
        }
    }

    /// Closes the idle connections of an integration.
    pub(crate) fn close(&self, key: &Key) {
        let mut state = self.state();
        let State { lines, idle, .. } = &mut *state;
        if let Some(line) = lines.get_mut(key) {
            *idle -= line.idle.len();
            line.idle.clear();
            if line.is_over() {
                lines.remove(key);
            }
        }
    }

    /// Closes what has been idle for too long; false where nothing is left to look after.
    pub(crate) fn close_idle(&self) -> bool {
        let mut state = self.state();
        let State { lines, idle, .. } = &mut *state;
        lines.retain(|_, line| {
            let before = line.idle.len();
            line.idle.retain(Idle::is_young);
            *idle -= before - line.idle.len();
            !line.is_over()
        });
        state.swept = !state.lines.is_empty();
        state.swept
    }

    #[cfg(test)]
    pub(crate) fn idle(&self) -> usize {
        self.state().idle
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.state().used
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().expect("no holder of the lock panics")
    }
}

impl<C> State<C> {
    /// Whether an integration may use one connection more: it has fewer than its bound, and fewer than are left. So some are
    /// always left for others, however many servers there are that keep us waiting.
    fn has_room(&self, key: &Key) -> bool {
        let used = self.lines.get(key).map_or(0, |line| line.used);
        used < INTEGRATION_MAX.min(CONNECTIONS_MAX - self.used)
    }

    /// Takes a place, with the connection that was used last if one is kept.
    fn enter(&mut self, pool: &Arc<Pool<C>>, key: &Key) -> Place<C> {
        let line = self.lines.entry(key.clone()).or_insert_with(|| Line {
            used: 0,
            idle: Vec::new(),
        });
        line.used += 1;
        self.used += 1;
        let kept = line.idle.pop();
        self.idle -= usize::from(kept.is_some());
        while self.used + self.idle > CONNECTIONS_MAX {
            self.close_oldest();
        }
        Place {
            pool: pool.clone(),
            key: key.clone(),
            connection: kept.filter(Idle::is_young).map(|idle| idle.connection),
            server: self.servers.get_or(key.clone(), Arc::default),
        }
    }

    /// Closes the connection that has been idle for longest. There is one, as fewer are used than there may be.
    fn close_oldest(&mut self) {
        let lines = self.lines.iter_mut().filter(|(_, line)| !line.idle.is_empty());
        let oldest = lines.min_by_key(|(_, line)| line.idle[0].since);
        let (key, line) = oldest.expect("no more are used than there may be, so that one is idle");
        line.idle.remove(0);
        self.idle -= 1;
        if line.is_over() {
            let key = key.clone();
            self.lines.remove(&key);
        }
    }

    fn leave(&mut self, key: &Key, connection: Option<C>) {
        let line = self.lines.get_mut(key).expect("a line is there while it is used");
        line.used -= 1;
        self.used -= 1;
        if let Some(connection) = connection {
            line.idle.push(Idle {
                connection,
                since: Instant::now(),
            });
            self.idle += 1;
        }
        if line.is_over() {
            self.lines.remove(key);
        }
    }

    /// Gives places to those that wait and now have room, the first first.
    fn call(&mut self, pool: &Arc<Pool<C>>) -> Vec<(oneshot::Sender<Place<C>>, Place<C>)> {
        let mut called = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.call.is_closed() {
                continue;
            }
            if self.has_room(&waiting.key) {
                called.push((waiting.call, self.enter(pool, &waiting.key)));
            } else {
                self.waiting.push_back(waiting);
            }
        }
        called
    }
}

impl<C> Line<C> {
    fn is_over(&self) -> bool {
        self.used == 0 && self.idle.is_empty()
    }
}

impl<C> Idle<C> {
    fn is_young(&self) -> bool {
        self.since.elapsed() < IDLE_TIMEOUT
    }
}

impl<C> Place<C> {
    /// The connection that was kept, to be used again.
    pub(crate) fn take(&mut self) -> Option<C> {
        self.connection.take()
    }

    /// Gives up the place and keeps its connection for the next.
    pub(crate) fn keep(mut self, connection: C) {
        self.connection = Some(connection);
    }

    /// The server of the integration that was tried last: that which let us in, if any did.
    pub(crate) fn server(&self) -> usize {
        self.server.load(Ordering::Relaxed)
    }

    /// Says which server is tried.
    pub(crate) fn tries(&self, server: usize) {
        self.server.store(server, Ordering::Relaxed);
    }
}

impl<C> Drop for Place<C> {
    fn drop(&mut self) {
        let connection = self.connection.take();
        self.pool.leave(&self.key, connection);
    }
}

/// Looks after connections for as long as there are any and the pool is there.
async fn sweep<C: Send + 'static>(pool: Weak<Pool<C>>) {
    loop {
        sleep(IDLE_TIMEOUT / 2).await;
        let goes_on = pool.upgrade().is_some_and(|pool| pool.close_idle());
        if !goes_on {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
