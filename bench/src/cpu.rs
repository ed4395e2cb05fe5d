//! How much processor time processes have taken, by their role, as the kernel counts it.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    ops::{Add, Sub},
    time::Duration,
};

use anyhow::Context;

/// What the kernel counts in: `USER_HZ`, which is 100 for all programs on every architecture that we run on (`man 5 proc`).
const TICKS_PER_S: u32 = 100;

/// Who takes processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The journal's server, or servers.
    Nats,
    /// The shards' servers with the processes that they start.
    Databases,
    /// `writer`.
    Writer,
    /// `directory`.
    Directory,
    /// `ingest`, or the server that it is compared with.
    Ingest,
    /// This process: the load, or the client whose limit is measured.
    Bench,
}

/// The processes that are looked at.
pub type Processes = Vec<(Role, u32)>;

/// Processor time by role.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cpu(BTreeMap<Role, Duration>);

impl Cpu {
    /// What these processes have taken since their start; each but this one with all that it has started.
    ///
    /// # Errors
    /// Where the kernel does not say: this is not Linux.
    pub fn of(processes: &Processes) -> anyhow::Result<Self> {
        let table = Table::read()?;
        let mut cpu = BTreeMap::new();
        for (role, pid) in processes {
            // All that is measured here this process has started: it counts by itself.
            let time = if *role == Role::Bench { table.own(*pid) } else { table.tree(*pid) };
            *cpu.entry(*role).or_default() += time;
        }
        Ok(Self(cpu))
    }

    /// Without what this process took: while it only looks on, that is not what an event costs.
    pub fn without_bench(mut self) -> Self {
        self.0.remove(&Role::Bench);
        self
    }

    /// All roles together.
    pub fn total(&self) -> Duration {
        self.0.values().sum()
    }

    /// Microseconds for each of so many events, by role; those that took less than a hundredth are left out.
    #[allow(clippy::cast_precision_loss, reason = "a count of events is far below 2^53")]
    pub fn per_event_us(&self, events: u64) -> BTreeMap<Role, f64> {
        let us = |(role, time): (&Role, &Duration)| (*role, time.as_secs_f64() * 1e6 / events.max(1) as f64);
        self.0.iter().map(us).filter(|(_, us)| *us >= 0.01).collect()
    }
}

impl Add for Cpu {
    type Output = Self;

    fn add(mut self, more: Self) -> Self {
        for (role, time) in more.0 {
            *self.0.entry(role).or_default() += time;
        }
        self
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        let since = |(role, time): (Role, Duration)| {
            (role, time.saturating_sub(earlier.0.get(&role).copied().unwrap_or_default()))
        };
        Self(self.0.into_iter().map(since).collect())
    }
}

/// Every process of this machine.
struct Table {
    /// A process' own time, and that of its ended children.
    time: HashMap<u32, (Duration, Duration)>,
    children: HashMap<u32, Vec<u32>>,
}

impl Table {
    fn read() -> anyhow::Result<Self> {
        let mut table = Self { time: HashMap::new(), children: HashMap::new() };
        for entry in fs::read_dir("/proc").context("cannot read /proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that has ended since is no error.
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            if let Some((parent, own, ended)) = parse(&stat) {
                let time = |ticks| Duration::from_secs(ticks) / TICKS_PER_S;
                table.time.insert(pid, (time(own), time(ended)));
                table.children.entry(parent).or_default().push(pid);
            }
        }
        Ok(table)
    }

    /// A process and all below it; those that have ended are counted for the one that waited for them.
    fn tree(&self, pid: u32) -> Duration {
        let (own, ended) = self.time.get(&pid).copied().unwrap_or_default();
        let below = self.children.get(&pid).into_iter().flatten();
        own + ended + below.map(|child| self.tree(*child)).sum::<Duration>()
    }

    fn own(&self, pid: u32) -> Duration {
        self.time.get(&pid).copied().unwrap_or_default().0
    }
}

/// The parent of `/proc/<pid>/stat`, its own ticks, and those of its ended children. The name stands in brackets, and may hold anything.
fn parse(stat: &str) -> Option<(u32, u64, u64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks =
        |at: std::ops::Range<usize>| fields.get(at)?.iter().map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>();
    Some((fields.get(1)?.parse().ok()?, ticks(11..13)?, ticks(13..15)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_work_is_counted_and_that_of_nobody_else() {
        let processes = vec![(Role::Bench, std::process::id())];
        let before = Cpu::of(&processes).unwrap();
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(120) {
            std::hint::black_box(0);
        }
        let took = Cpu::of(&processes).unwrap() - before;
        assert!(took.total() >= Duration::from_millis(50), "{took:?}");
        assert!(took.per_event_us(1)[&Role::Bench] >= 50_000.0);
    }

    #[test]
    fn a_name_with_brackets_and_spaces_is_no_field() {
        let stat = "42 (a) b (c) S 7 1 1 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 5 6 7";
        assert_eq!(parse(stat), Some((7, 30, 70)));
        assert_eq!(parse("42 (x"), None);
    }
}
