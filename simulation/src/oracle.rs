//! What has to hold, checked in the moment in which anything changes.
//!
//! The oracle knows every message that was ever stored, also those that the journal has lost since, and which one each was
//! stored behind. So a shard's stored position and stamp name one history, and that says which rows the shard has to hold.

mod events;
mod past;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use serde::Deserialize;
use sluice_directory::client::memory::MemoryDirectory;
use sluice_journal::memory::{Stored, Witness as JournalWitness};
use sluice_model::{EventId, Indexes, Partition, PartitionCount, Position};
use sluice_shard::{
    StoredPosition,
    memory::{Commit, Contents, Row, Witness as ShardWitness},
};

pub use self::events::POISON;
use self::{
    events::{Due, due},
    past::Past,
};

/// Watches one simulation.
pub struct Oracle(Mutex<State>);

struct State {
    partitions: PartitionCount,
    directory: MemoryDirectory,
    past: Past,
    /// The dead letters of each event id: their subjects, and the stamps of the messages that they say they came in. There
    /// may be several where the journal has lost its end, as it gives positions again.
    dead: HashMap<i64, BTreeMap<String, i64>>,
    /// Where each shard began.
    begun: BTreeMap<(String, Partition), Position>,
    /// How far each shard has ever read the history that the journal still has.
    passed: BTreeMap<(String, Partition), Position>,
    /// Rows that a shard has ever committed: shard, event, and the stamp of its message.
    rows: HashSet<(String, i64, i64)>,
    /// Which message each inbox waits for.
    inboxes: HashMap<String, (Position, i64)>,
    leniency: Leniency,
    broken: Vec<String>,
    commits: u64,
    told: u64,
}

/// An answer to who waits for a message.
#[derive(Deserialize)]
struct Told {
    position: String,
    shard: Option<String>,
    dead: Vec<ToldDead>,
}

#[derive(Deserialize)]
struct ToldDead {
    index: usize,
}

/// What does not count.
#[derive(Debug, Clone, Copy, Default)]
pub struct Leniency {
    /// Answers to those who wait may be wrong.
    pub told: bool,
    /// An event's dead letter may be that of a message that the journal has lost.
    pub lost_letters: bool,
}

/// How many things were checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checked {
    /// Commits of shards.
    pub commits: u64,
    /// Answers to those who waited.
    pub told: u64,
}

impl Oracle {
    /// An oracle that has seen nothing.
    pub fn new(partitions: PartitionCount, directory: MemoryDirectory) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            partitions,
            directory,
            past: Past::new(partitions),
            dead: HashMap::new(),
            begun: BTreeMap::new(),
            passed: BTreeMap::new(),
            rows: HashSet::new(),
            inboxes: HashMap::new(),
            leniency: Leniency::default(),
            broken: Vec::new(),
            commits: 0,
            told: 0,
        })))
    }

    /// The journal is about to lose what stands after `last`.
    pub fn truncating(&self, last: Position) {
        let mut state = self.state();
        state.past.truncate(last);
        for ((_, partition), passed) in &mut state.passed {
            if *partition == last.partition() {
                *passed = (*passed).min(last);
            }
        }
    }

    /// Somebody waits at this inbox for the message that is stored next in the partition.
    pub fn waits(&self, inbox: &str, at: Position, stamp: i64) {
        self.state().inboxes.insert(inbox.to_owned(), (at, stamp));
    }

    /// The stamp of a message that the journal holds.
    pub fn stamp(&self, at: Position) -> Option<i64> {
        self.state().past.stamp(at)
    }

    /// This does not count: for a search of something else.
    pub fn ignore(&self, leniency: Leniency) {
        self.state().leniency = leniency;
    }

    /// What was broken first, if anything.
    pub fn broken(&self) -> Option<String> {
        self.state().broken.first().cloned()
    }

    /// Notes that something is broken.
    pub fn breaks(&self, what: String) {
        self.state().broken.push(what);
    }

    /// How many things were checked.
    pub fn checked(&self) -> Checked {
        let state = self.state();
        Checked { commits: state.commits, told: state.told }
    }

    /// Whether a shard's stored position names a message that the journal still holds, or its beginning.
    pub fn is_sound(&self, stored: StoredPosition) -> bool {
        let state = self.state();
        stored.stamp == 0 || state.past.stamp(stored.position) == Some(stored.stamp)
    }

    /// Whether a shard holds exactly the rows of the history that it has read, and every dead letter of it is there.
    pub fn check_whole(&self, shard: &str, contents: &Contents) {
        let mut state = self.state();
        let mut wanted = BTreeMap::new();
        for (partition, stored) in &contents.positions {
            let Some(begun) = state.begun.get(&(shard.to_owned(), *partition)).copied() else { continue };
            match state.read(shard, begun, *stored) {
                Ok((due, _)) => wanted.extend(due.rows),
                Err(error) => state.broken.push(error),
            }
        }
        let missing: Vec<_> = wanted.keys().filter(|id| !contents.rows.contains_key(id)).map(|id| show(*id)).collect();
        let surplus: Vec<_> = contents.rows.keys().filter(|id| !wanted.contains_key(id)).map(|id| show(*id)).collect();
        if !missing.is_empty() || !surplus.is_empty() {
            state.broken.push(format!("at the end {shard} lacks the rows {missing:?} and has too many: {surplus:?}"));
        } else if contents.rows != wanted {
            state.broken.push(format!("at the end {shard} has rows with other contents than the journal"));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// An event's id as people read it.
fn show(id: i64) -> String {
    EventId::try_from(id).map_or_else(|_| id.to_string(), |id| format!("{:?}#{}", id.position(), id.index()))
}

impl State {
    /// What a shard has to have of the messages after `from` up to a stored position, in the history that this names; and the
    /// stamp of the message at `from` in that history.
    fn read(&self, shard: &str, from: Position, to: StoredPosition) -> Result<(Due, i64), String> {
        let (messages, stamp) = self.past.between(from, to).map_err(|error| format!("{shard}: {error}"))?;
        let mut all = Due::default();
        for message in messages {
            all.add(due(message, shard, self.partitions, &self.directory)?);
        }
        Ok((all, stamp))
    }

    fn check(&mut self, shard: &str, commit: &Commit<'_>) -> Result<(), String> {
        let mut wanted = BTreeMap::new();
        for (partition, to) in commit.positions {
            let key = (shard.to_owned(), *partition);
            let Some(from) = commit.before.positions.get(partition).copied() else {
                self.begun.insert(key.clone(), to.position);
                self.passed.insert(key, to.position);
                continue;
            };
            if to.position < from.position {
                return Err(format!("{shard} goes back from {:?} to {:?}", from.position, to.position));
            }
            let (due, stamp) = self.read(shard, from.position, *to)?;
            if from.stamp != 0 && stamp != from.stamp {
                return Err(format!(
                    "{shard} has stored {:?} of a history that the journal has lost, and goes on from there to {:?} of \
                     another one (stamps {} and {stamp})",
                    from.position, to.position, from.stamp
                ));
            }
            for (id, stamp) in due.dead.iter().chain(&due.nobodys) {
                let letters = self.dead.get(id);
                let letters =
                    letters.ok_or_else(|| format!("{shard} passes {}, which has no dead letter", show(*id)))?;
                // Where the journal has lost the shard's message, the letter of the one that has its position now may be there.
                let is_kept = EventId::try_from(*id).is_ok_and(|id| self.past.stamp(id.position()) == Some(*stamp));
                let is_anothers = letters.values().all(|of| *of != 0 && of != stamp);
                if !self.leniency.lost_letters && is_kept && is_anothers {
                    return Err(format!(
                        "{shard} passes {}, whose dead letter is that of a message that the journal has lost",
                        show(*id)
                    ));
                }
            }
            self.rows.extend(due.stamps.iter().map(|(id, stamp)| (shard.to_owned(), *id, *stamp)));
            wanted.extend(due.rows);
            if self.past.stamp(to.position) == Some(to.stamp) {
                let passed = self.passed.entry(key).or_insert(to.position);
                *passed = (*passed).max(to.position);
            }
        }
        compare(shard, &wanted, commit)
    }

    /// Notes a dead letter: of one event, or of several of one message.
    fn letter(&mut self, message: &Stored) -> Result<(), String> {
        let header = |name: &str| message.headers.get(name).map(|value| value.as_str());
        let id = message.subject.rsplit('.').next().and_then(|id| id.parse::<EventId>().ok());
        let id = id.ok_or_else(|| format!("a dead letter of no event: {}", message.subject))?;
        let events: Indexes = match header("Sluice-Events") {
            Some(events) => events.parse().map_err(|_| format!("a dead letter of the events {events:?}"))?,
            None => [id.index()].into_iter().collect(),
        };
        let stamp = header("Sluice-Stamp").and_then(|stamp| stamp.parse().ok()).unwrap_or_default();
        for index in events.iter() {
            let id = id.position().event(index).get();
            let before = self.dead.entry(id).or_default().insert(message.subject.clone(), stamp);
            // One of a message that the journal has lost makes room.
            if before.is_some_and(|before| before == stamp) {
                return Err(format!("{} has two dead letters", show(id)));
            }
        }
        Ok(())
    }

    fn check_told(&mut self, subject: &str, payload: &Bytes) -> Result<(), String> {
        let told: Told = serde_json::from_slice(payload).map_err(|e| format!("an answer that is none: {e}"))?;
        let Some((position, stamp)) = self.inboxes.get(subject).copied() else {
            return Err(format!("an answer to {subject}, where nobody waits"));
        };
        self.told += 1;
        if told.position != position.get().to_string() {
            return Err(format!("an answer about {} to one who waits for {position:?}", told.position));
        }
        let message = self.past.message(position, stamp).ok_or("an answer about a message that never was")?;
        let dead: BTreeSet<usize> = told.dead.iter().map(|dead| dead.index).collect();
        for index in 0..events::count(message) {
            let id = position.event(index).get();
            if dead.contains(&index) {
                if !self.dead.contains_key(&id) {
                    return Err(format!("told that {} is a dead letter, and it is not", show(id)));
                }
                continue;
            }
            let shard = told.shard.clone().unwrap_or_default();
            if !self.rows.contains(&(shard, id, stamp)) {
                return Err(format!("told that {} is stored on {:?}, and it is not", show(id), told.shard));
            }
        }
        Ok(())
    }
}

/// The rows of a commit are exactly those that are wanted, and none of them was there.
fn compare(shard: &str, wanted: &BTreeMap<i64, Row>, commit: &Commit<'_>) -> Result<(), String> {
    let mut found = BTreeMap::new();
    for row in commit.rows {
        if found.insert(row.id, row.clone()).is_some() || commit.before.rows.contains_key(&row.id) {
            return Err(format!("{shard} stores {} twice", show(row.id)));
        }
    }
    if let Some(missing) = wanted.keys().find(|id| !found.contains_key(id)) {
        return Err(format!("{shard} passes {} without its row", show(*missing)));
    }
    if let Some(surplus) = found.keys().find(|id| !wanted.contains_key(id)) {
        return Err(format!("{shard} stores {}, which is not due there", show(*surplus)));
    }
    if &found != wanted {
        return Err(format!("{shard} stores rows with other contents than the journal"));
    }
    Ok(())
}

impl JournalWitness for Oracle {
    fn stored(&self, stream: &str, message: &Stored) {
        let mut state = self.state();
        if stream.starts_with("JOURNAL-") {
            if let Err(error) = state.past.add(message) {
                state.broken.push(error);
            }
        } else if stream == "DEAD"
            && let Err(error) = state.letter(message)
        {
            state.broken.push(error);
        }
    }

    fn purging(&self, stream: &str, before: u64) {
        let mut state = self.state();
        let Some(before) = Position::new(before).filter(|_| stream.starts_with("JOURNAL-")) else { return };
        for shard in state.directory.names() {
            let passed = state.passed.get(&(shard.clone(), before.partition())).copied();
            if passed.is_none_or(|passed| passed < before) {
                let what = format!("what stands before {before:?} is trimmed, and {shard} has only passed {passed:?}");
                state.broken.push(what);
            }
        }
    }

    fn sent(&self, subject: &str, payload: &Bytes) {
        let mut state = self.state();
        if let Err(error) = state.check_told(subject, payload)
            && !state.leniency.told
        {
            state.broken.push(error);
        }
    }
}

impl ShardWitness for Oracle {
    fn committing(&self, database: &str, commit: &Commit<'_>) {
        let mut state = self.state();
        state.commits += 1;
        if let Err(error) = state.check(database, commit) {
            state.broken.push(error);
        }
    }
}
