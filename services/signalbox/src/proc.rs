//! What the kernel tells of processes under `/proc`: whether one still lives, its CPU time, its memory.
//!
//! Linux alone has it. Elsewhere nothing is found, so that an orphan is not seen and a measurement
//! fails with the file's name.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Ticks a second of the times in `/proc/<pid>/stat`; Linux gives programs 100 on every architecture we build for.
const TICKS_PER_S: u64 = 100;

/// A process that cannot be taken for a later one with the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// The process id.
    pub pid: u32,
    /// When it began, in clock ticks after boot.
    pub start_time: u64,
}

impl Process {
    /// The process that has this id now; `None` when there is none, or only a corpse that its parent has not fetched.
    pub(crate) fn find(pid: u32) -> Option<Self> {
        let stat = Stat::read(&directory(pid).join("stat")).ok()?;
        let process = Self {
            pid,
            start_time: stat.start_time,
        };
        process.is_alive().then_some(process)
    }

    /// Whether it still runs. A leader that has ended counts while one of its threads still runs, since that thread
    /// may still be writing.
    pub(crate) fn is_alive(&self) -> bool {
        let Ok(leader) = Stat::read(&directory(self.pid).join("stat")) else {
            return false;
        };
        leader.start_time == self.start_time
            && (leader.runs()
                || threads(self.pid)
                    .iter()
                    .any(|thread| Stat::read(&thread.join("stat")).is_ok_and(|stat| stat.runs())))
    }

    /// The arguments it was started with, the program first; empty once it has ended.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let bytes = fs::read(directory(self.pid).join("cmdline")).unwrap_or_default();
        bytes
            .split(|byte| *byte == 0)
            .filter(|argument| !argument.is_empty())
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect()
    }

    /// Its children that still live.
    pub(crate) fn children(&self) -> Vec<Self> {
        all()
            .into_iter()
            .filter(|child| parent(child.pid) == Some(self.pid))
            .collect()
    }
}

/// Every process that lives and can be seen.
pub(crate) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Process::find)
        .collect()
}

/// CPU time that all threads of a process have used, those that ended included.
///
/// The threads' own counters have nanoseconds but forget a thread that ended; the process's counts it, in ticks
/// rounded down. Neither says too much, so the larger is the better.
pub(crate) fn cpu(pid: u32) -> io::Result<Duration> {
    let stat = Stat::read(&directory(pid).join("stat"))?;
    let of_process = Duration::from_millis(stat.cpu_ticks * (1_000 / TICKS_PER_S));
    let of_threads = threads(pid)
        .iter()
        .filter_map(|thread| fs::read_to_string(thread.join("schedstat")).ok())
        .filter_map(|text| text.split_ascii_whitespace().next()?.parse().ok())
        .map(Duration::from_nanos)
        .sum();
    Ok(of_process.max(of_threads))
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> io::Result<u64> {
    let path = directory(pid).join("status");
    let status = fs::read_to_string(&path)?;
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .trim()
                .strip_suffix("kB")?
                .trim()
                .parse::<u64>()
                .ok()
        })
        .map(|kilobytes| kilobytes * 1_024)
        .ok_or_else(|| io::Error::other(format!("{} names no VmRSS", path.display())))
}

fn directory(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

fn threads(pid: u32) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory(pid).join("task")) else {
        return Vec::new();
    };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn parent(pid: u32) -> Option<u32> {
    Stat::read(&directory(pid).join("stat")).ok().map(|stat| stat.parent)
}

/// The fields of a `stat` file that are read here.
struct Stat {
    state: char,
    parent: u32,
    cpu_ticks: u64,
    start_time: u64,
}

impl Stat {
    fn read(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        Self::parse(&text).ok_or_else(|| io::Error::other(format!("{} cannot be read as a stat file", path.display())))
    }

    /// Reads the line of `proc_pid_stat(5)`. The command in field 2 may hold spaces and parentheses, so that fields
    /// are counted from the last parenthesis.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: u32::try_from(number(4)?).ok()?,
            cpu_ticks: number(14)? + number(15)?,
            start_time: number(22)?,
        })
    }

    fn runs(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

#[cfg(test)]
mod tests;
