//! Carries a repair out, in the order that [`sluice_journal::repair`] describes.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use futures::StreamExt;
use sluice_directory::Client;
use sluice_journal::{
    Journal, Message,
    repair::{CopyError, Finished, JumpError, Lost, RecordError, Turn, Way},
};
use sluice_model::{Partition, Position};
use sluice_shard::{Identity, StoredPosition, rebind};

use super::{
    decision::Decision,
    homes::Homes,
    look::{Reading, readings},
    plan::Work,
    progress::Progress,
    scan::{Scan, Scanned, is_transient},
};

/// How often copying is begun again where the server does not answer.
const TRIES: u32 = 5;

/// What is needed for all of it.
pub struct Carrier<'a> {
    /// What is repaired.
    pub journal: &'a Journal,
    /// Whom to ask for shards and routes.
    pub directory: &'a Client,
    /// Where to tell what takes long.
    pub progress: Progress,
}

/// What was done, partition by partition; nothing is scanned where a partition jumps.
pub type Done = Vec<(Partition, Option<Scanned>)>;

/// How it ended.
pub enum Ended {
    /// As was decided.
    Well(Done),
    /// Something changed meanwhile: look again. What was done is done, and is found then.
    Look(String),
}

impl Carrier<'_> {
    /// Everything. Shards are touched last, and only those that belong to another journal or have to follow a jump.
    ///
    /// # Errors
    /// Where somebody does not answer. Done again, it goes on.
    pub async fn carry_out(&mut self, decision: &Decision, before: &[Reading]) -> anyhow::Result<Ended> {
        let mut done = Vec::new();
        let mut ends = BTreeMap::new();
        for (partition, work) in &decision.works {
            let about = || format!("partition {partition}");
            let scanned = match work.way {
                Way::Fill => Some(self.fill(*partition, work).await.with_context(about)?),
                Way::Jump { to, .. } => match self.jump(*partition, work, to).await.with_context(about)? {
                    None => None,
                    Some(changed) => return Ok(Ended::Look(changed)),
                },
            };
            let last_copy = scanned.as_ref().and_then(Scanned::last_copy);
            ends.insert(*partition, last_copy.unwrap_or(work.top).max(work.top));
            done.push((*partition, scanned));
        }
        if let Some(changed) = self.changed(decision, before).await? {
            return Ok(Ended::Look(changed));
        }
        let fills = decision.works.iter().filter(|(_, work)| work.way == Way::Fill);
        for (partition, work) in fills {
            self.finish(*partition, work, ends[partition]).await?;
        }
        for partition in &decision.shut {
            self.journal.shut(*partition).await?.open().await?;
        }
        self.follow(decision, before).await?;
        for (partition, work) in &decision.works {
            if let Way::Jump { to, .. } = work.way {
                self.finish(*partition, work, self.journal.landing(to).await?.0).await?;
            }
        }
        Ok(Ended::Well(done))
    }

    async fn fill(&mut self, partition: Partition, work: &Work) -> anyhow::Result<Scanned> {
        self.journal.begin_repair(partition, &work.lost, work.way, work.replaces.as_ref()).await?;
        self.progress.begin(format!("partition {partition}: filling up"), work.fillers);
        let progress = &mut self.progress;
        self.journal.fill(work.top, |left| progress.left(left)).await?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.copy(partition, work).await {
                Ok(scanned) => return Ok(scanned),
                Err(error) if tries < TRIES && may_help(&error) => {
                    tracing::warn!(error = &*error as &dyn std::error::Error, "copying again what is not copied yet");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the turn, looks what has to be copied, and copies it.
    async fn copy(&mut self, partition: Partition, work: &Work) -> anyhow::Result<Scanned> {
        let turn = self.journal.take_turn(partition).await?;
        let homes = Homes::new(self.directory.clone(), self.journal.partitions(), true);
        let dead = Some(self.journal.dead_letters());
        let mut scanned = Scan::new(self.journal, work, homes, dead).run(&mut self.progress).await?;
        let Some((first, last)) = scanned.survey.left() else { return Ok(scanned) };
        let mut left = scanned.to_copy();
        self.progress.begin(format!("partition {partition}: copying what was given again"), left);
        let mut reader = self.journal.read(first.previous().into()).await?;
        while reader.next_position() <= last {
            let chunk = reader.next_held(1_000).await?;
            let wanted: Vec<&Message> =
                chunk.iter().filter(|message| scanned.survey.lacks_copy(message.position)).collect();
            for (message, copy) in wanted.iter().zip(copies(&turn, &wanted).await?) {
                scanned.survey.copied(message.position, copy);
            }
            left -= wanted.len() as u64;
            self.progress.left(left);
        }
        Ok(scanned)
    }

    /// Lets an empty partition go on after `to`. Says what changed where it is no longer empty.
    async fn jump(&mut self, partition: Partition, work: &Work, to: Position) -> anyhow::Result<Option<String>> {
        // First, so that a partition that is shut without it is one that somebody left so.
        self.journal.begin_repair(partition, &work.lost, work.way, work.replaces.as_ref()).await?;
        let gate = self.journal.shut(partition).await?;
        let jumped = gate.jump(to).await;
        // Whatever came of it: publishers wait.
        gate.open().await.context("the partition takes no events until this command has succeeded")?;
        match jumped {
            Ok(()) => Ok(None),
            Err(JumpError::NotEmpty(messages)) => {
                Ok(Some(format!("partition {partition} holds {messages} messages now")))
            }
            Err(JumpError::Journal(error)) => Err(error.into()),
        }
    }

    /// Whether a shard has stored something since it was read: what is accepted has to be what it says.
    async fn changed(&self, decision: &Decision, before: &[Reading]) -> anyhow::Result<Option<String>> {
        let now = readings(self.directory).await?;
        let names = |readings: &[Reading]| readings.iter().map(|reading| reading.shard.clone()).collect::<Vec<_>>();
        if names(&now) != names(before) {
            return Ok(Some("a shard was registered meanwhile".to_owned()));
        }
        for (partition, work) in decision.works.iter().filter(|(_, work)| work.way == Way::Fill) {
            for Lost { shard, .. } in &work.lost {
                if stored_of(&now, shard, *partition) != stored_of(before, shard, *partition) {
                    return Ok(Some(format!(
                        "shard {shard} has another stored position of partition {partition} by now"
                    )));
                }
            }
        }
        Ok(None)
    }

    async fn finish(&self, partition: Partition, work: &Work, end: Position) -> anyhow::Result<()> {
        let stamp = self.journal.stamp(end).await?;
        let finished = Finished { at: now(), end, stamp: stamp.unwrap_or_default() };
        let noted = self.journal.finish_repair(partition, &work.lost, work.way, finished).await;
        noted.with_context(|| format!("note that partition {partition} is repaired"))
    }

    /// Gives the shards of other journals over, and lets every shard follow the jumps: all of one shard in one transaction.
    async fn follow(&self, decision: &Decision, shards: &[Reading]) -> anyhow::Result<()> {
        let mut landings = Vec::new();
        for (partition, work) in &decision.works {
            if let Way::Jump { to, .. } = work.way {
                let (position, stamp) = self.journal.landing(to).await?;
                landings.push((*partition, work.way, StoredPosition { position, stamp }));
            }
        }
        for Reading { shard, address, said } in shards {
            let Ok(said) = said else { continue };
            let identity = |journal_id: &str| Identity { shard: shard.clone(), journal_id: journal_id.to_owned() };
            let (from, to) = (identity(&said.journal_id), identity(self.journal.id()));
            let follows = |(partition, way, _): &&(Partition, Way, StoredPosition)| {
                said.stored.get(partition).is_some_and(|stored| way.is_followed_from(stored.position))
            };
            let landing: Vec<_> = landings.iter().filter(follows).map(|(_, _, landing)| *landing).collect();
            if from != to || !landing.is_empty() {
                let rebound = rebind(address, &from, &to, &landing).await;
                rebound.with_context(|| format!("let shard {shard} follow"))?;
            }
        }
        Ok(())
    }
}

/// What a shard said that it has stored.
fn stored_of(readings: &[Reading], shard: &str, partition: Partition) -> Option<StoredPosition> {
    let reading = readings.iter().find(|reading| reading.shard == shard)?;
    reading.said.as_ref().ok()?.stored.get(&partition).copied()
}

/// Copies messages, in their order; gives the copies' positions.
async fn copies(turn: &Turn, messages: &[&Message]) -> Result<Vec<Position>, CopyError> {
    let copies = messages.iter().map(|message| turn.copy(message));
    let copies: Vec<_> = futures::stream::iter(copies).buffered(turn.abreast()).collect().await;
    copies.into_iter().collect()
}

/// Whether what failed in the midst of copying may succeed the next time.
fn may_help(error: &anyhow::Error) -> bool {
    let copying = matches!(error.downcast_ref(), Some(CopyError::Journal(_)));
    let stale = matches!(error.downcast_ref(), Some(RecordError::Stale));
    copying || stale || is_transient(error)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
