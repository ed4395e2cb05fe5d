//! The journal loses its end: its streams on NATS' disk are set back to a copy of some seconds
//! before.
//!
//! Only the journal's own streams go back. Were the dead letters set back too, those of events that
//! the journal kept would be gone with nothing to tell that they ever were.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use async_nats::connection::State;
use sluice_journal::{Journal, Settings};

use super::ledger::{Cut, Ledger};
use crate::{Fleet, set_back::copy_folder, wait};

/// How long the load's connection may take to notice that NATS is gone, and the journal to answer
/// again.
const LIMIT: Duration = Duration::from_secs(30);
/// After its connection has noticed, an acknowledgement that came before may take so long until the
/// load has noted it. Shorter: events that were lost count as accepted since. Longer: every loss
/// takes that much longer.
const NOTED_WITHIN: Duration = Duration::from_millis(500);

/// A copy of the journal's streams.
pub struct JournalCopy {
    /// Each stream's folder, and its copy.
    folders: Vec<(PathBuf, PathBuf)>,
}

impl JournalCopy {
    /// Copies the streams as the disk has them now, while the server is frozen.
    ///
    /// # Errors
    /// Where a folder cannot be copied.
    pub fn take(fleet: &mut Fleet) -> anyhow::Result<Self> {
        let copies = fleet.folder().join("older-journal");
        let streams = streams(&fleet.folder().join("nats").join("jetstream"))?;
        anyhow::ensure!(!streams.is_empty(), "no stream of the journal is on NATS' disk");
        let copy = |stream: PathBuf| {
            let copy = copies.join(stream.file_name().expect("a stream's folder has a name"));
            (stream, copy)
        };
        let folders: Vec<_> = streams.into_iter().map(copy).collect();
        if copies.exists() {
            std::fs::remove_dir_all(&copies)?;
        }
        fleet.nats().freeze();
        let copied = folders.iter().try_for_each(|(stream, copy)| copy_folder(stream, copy));
        fleet.nats().thaw();
        copied.context("cannot copy the journal's streams")?;
        Ok(Self { folders })
    }

    /// Kills NATS, puts the copies back, starts NATS again, and tells the ledger what the journal
    /// kept. `publisher` is the connection that the load publishes by.
    ///
    /// # Errors
    /// Where NATS does not come back.
    pub async fn put_back(
        self,
        fleet: &mut Fleet,
        ledger: &Ledger,
        publisher: &async_nats::Client,
    ) -> anyhow::Result<()> {
        fleet.nats().kill();
        ledger.journal_is_gone();
        let killed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let noticed = async || publisher.connection_state() != State::Connected;
        wait::until("the load notices that NATS is gone", LIMIT, noticed).await?;
        tokio::time::sleep(NOTED_WITHIN).await;
        ledger.journal_loses_its_end();
        for (stream, copy) in &self.folders {
            std::fs::remove_dir_all(stream)?;
            copy_folder(copy, stream)?;
        }
        fleet.nats().restart().await?;
        ledger.journal_kept(kept(fleet, i64::try_from(killed.as_nanos())?).await?);
        Ok(())
    }
}

/// The folders of the journal's streams: below that of their account.
fn streams(store: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut streams = Vec::new();
    for account in entries(&store.join("jetstream"))? {
        let all = account.join("streams");
        if all.is_dir() {
            let of_journal = |stream: &PathBuf| {
                stream.file_name().is_some_and(|name| name.to_string_lossy().starts_with("JOURNAL-"))
            };
            streams.extend(entries(&all)?.into_iter().filter(of_journal));
        }
    }
    Ok(streams)
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?)
}

/// The last position of each partition from before that moment: what stands beyond was stored
/// since.
async fn kept(fleet: &Fleet, moment: i64) -> anyhow::Result<Cut> {
    let journal = Journal::open(fleet.nats_client().await?, &Settings::default()).await?;
    let mut cut = Cut::new();
    for partition in journal.partitions().all() {
        // It is trimmed now and then.
        let found = async {
            loop {
                match journal.last_until(partition, moment).await {
                    Ok(position) => return position,
                    Err(error) => tracing::info!(%partition, %error, "asking again what the journal kept"),
                }
                tokio::time::sleep(wait::INTERVAL).await;
            }
        };
        let found = tokio::time::timeout(LIMIT, found).await.context("the journal does not say what it kept")?;
        cut.insert(partition, found);
    }
    Ok(cut)
}
