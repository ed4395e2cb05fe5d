//! What can break, and for how long.

use std::fmt;

use sluice_shard::Flavor;

use crate::Shards;

/// The index of a writer that joins now and then.
pub const GUEST: usize = 2;

/// What is broken. No two faults have the same target at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The writer with that index. The last one, [`GUEST`], runs only while a fault lasts.
    Writer(usize),
    /// The directory.
    Directory,
    /// Ingest.
    Ingest,
    /// The NATS server with that index.
    Nats(usize),
    /// The shard with that index.
    Shard(usize),
}

impl Target {
    /// Whether the two must not be broken at the same time: the same one, or two NATS servers, of which one may be lost.
    pub fn excludes(self, other: Self) -> bool {
        self == other || matches!((self, other), (Self::Nats(_), Self::Nats(_)))
    }
}

/// How it is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `kill -9`; started again at the end.
    Kill,
    /// SIGTERM; started again at the end.
    Stop,
    /// Started; SIGTERM at the end.
    JoinAndStop,
    /// Started; `kill -9` at the end.
    JoinAndDie,
    /// SIGSTOP; SIGCONT at the end.
    Freeze,
    /// Nothing goes through to it, and nothing is closed.
    Hang,
    /// Its commits are carried out, and their answers are lost.
    LoseCommits,
    /// Connections are cut in the middle of a transaction.
    Cut,
    /// It answers late.
    Slow,
    /// No room: of a shard's disk, or of the journal.
    Full,
    /// It can be read, and not be written.
    ReadOnly,
    /// Somebody else holds a lock that every writer needs.
    Lock,
    /// A copy is made at the beginning, and put in its place at the end; of a NATS server a copy of the journal.
    SetBack,
}

/// One of the two with the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// What.
    pub target: Target,
    /// How.
    pub kind: Kind,
}

impl Fault {
    /// Whether a shard takes nothing while it lasts.
    pub fn is_outage_of_a_shard(self) -> bool {
        let kinds = [Kind::Kill, Kind::Stop, Kind::Hang, Kind::Full, Kind::ReadOnly, Kind::Lock];
        matches!(self.target, Target::Shard(_)) && kinds.contains(&self.kind)
    }

    /// Whether a writer joins or leaves as it begins, and again as it ends.
    pub fn changes_the_writers(self) -> bool {
        let kinds = [Kind::Kill, Kind::Stop, Kind::JoinAndStop, Kind::JoinAndDie];
        matches!(self.target, Target::Writer(_)) && kinds.contains(&self.kind)
    }

    /// The least and the most that it lasts, in milliseconds.
    pub fn lasts_ms(self) -> (u64, u64) {
        match (self.target, self.kind) {
            // What is published while it lasts is lost.
            (Target::Nats(_), Kind::SetBack) => (1_000, 4_000),
            // Nothing goes on meanwhile: what comes after is of more interest.
            (Target::Nats(_), _) => (100, 1_500),
            // As long as a writer takes to join, and to find that a shard takes nothing.
            (Target::Writer(GUEST), _) => (1_500, 6_000),
            (_, Kind::Kill | Kind::Stop) => (50, 4_000),
            // Some shorter, some longer than a writer may be silent.
            (Target::Writer(_), Kind::Freeze) => (200, 6_000),
            // Long enough for a writer to join and to leave.
            (Target::Shard(_), Kind::Hang | Kind::Full | Kind::ReadOnly | Kind::Lock) => (500, 8_000),
            _ => (200, 5_000),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Kill => "is killed",
            Kind::Stop => "is stopped",
            Kind::JoinAndStop => "joins, and is stopped",
            Kind::JoinAndDie => "joins, and is killed",
            Kind::Freeze => "is frozen",
            Kind::Hang => "hangs behind a dead line",
            Kind::LoseCommits => "commits, and the answers are lost",
            Kind::Cut => "has its connections cut",
            Kind::Slow => "answers late",
            Kind::Full => "has no room",
            Kind::ReadOnly => "is read-only",
            Kind::Lock => "is locked by somebody else",
            Kind::SetBack => "is set back to where it was",
        };
        match self.target {
            Target::Writer(index) => write!(f, "writer {} {what}", index + 1),
            Target::Directory => write!(f, "the directory {what}"),
            Target::Ingest => write!(f, "ingest {what}"),
            Target::Nats(index) => write!(f, "nats-server {} {what}", index + 1),
            Target::Shard(index) => write!(f, "shard{} {what}", index + 1),
        }
    }
}

/// All that can be drawn, each as likely as the next.
pub fn catalogue(shards: Shards, nats_nodes: u16) -> Vec<Fault> {
    let processes = [
        (Target::Writer(0), &[Kind::Kill, Kind::Stop, Kind::Freeze][..]),
        (Target::Writer(1), &[Kind::Kill, Kind::Stop, Kind::Freeze]),
        (Target::Writer(GUEST), &[Kind::JoinAndStop, Kind::JoinAndDie]),
        (Target::Directory, &[Kind::Kill, Kind::Freeze]),
        (Target::Ingest, &[Kind::Kill]),
    ];
    let shards = (0..3).map(|index| (Target::Shard(index), of_shard(shards.of(index))));
    // A cluster keeps what one of its servers loses.
    let of_nats = if nats_nodes == 1 {
        &[Kind::Kill, Kind::Freeze, Kind::Full, Kind::SetBack][..]
    } else {
        &[Kind::Kill, Kind::Freeze, Kind::Full]
    };
    let nats = (0..usize::from(nats_nodes)).map(|index| (Target::Nats(index), of_nats));
    let all = processes.into_iter().chain(nats).chain(shards);
    all.flat_map(|(target, kinds)| kinds.iter().map(move |kind| Fault { target, kind: *kind })).collect()
}

/// What can happen to a shard of that engine.
fn of_shard(flavor: Flavor) -> &'static [Kind] {
    match flavor {
        Flavor::Postgres => &[
            Kind::Kill,
            Kind::Stop,
            Kind::Hang,
            Kind::LoseCommits,
            Kind::Cut,
            Kind::Slow,
            Kind::Full,
            Kind::ReadOnly,
            Kind::Lock,
            Kind::SetBack,
        ],
        // What MariaDB does when its files may not grow is not known well enough: it may end, or wait.
        Flavor::Mysql => &[
            Kind::Kill,
            Kind::Stop,
            Kind::Hang,
            Kind::LoseCommits,
            Kind::Cut,
            Kind::Slow,
            Kind::ReadOnly,
            Kind::Lock,
            Kind::SetBack,
        ],
        Flavor::Sqlite => &[Kind::ReadOnly, Kind::Lock, Kind::SetBack],
    }
}
