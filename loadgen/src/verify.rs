//! The check: every event of the journal is exactly one row, on the shard that its customer's route names.
//!
//! It shares with the pipeline only the types, the journal's reader and the shards' connections; which rows there have
//! to be it works out again from the journal's bytes. Read in this order:
//!
//! 1. [`ledger`]: what is expected against what stands there; no I/O. It compares sums first ([`survey`], `sums`, `sight`): where those of a
//!    bucket of ids agree, all of its rows are proven to be right, and nothing of them is kept. Only for the others everything is read
//!    a second time; the ledger keeps their events in `events`, judges them in `judge`, and gives [`findings`].
//! 2. [`expect`]: fills the ledger from the journal.
//! 3. [`homes`]: and with each customer's route; [`repaired`]: what repairs of the journal left behind.
//! 4. [`fleet`]: the shards' connections; shows the ledger every row.
//! 5. [`drain`]: waits until the shards have stored what the journal held.
//! 6. [`claims`]: a second check, against what runs say of themselves.
//! 7. [`report`]: how it is told; [`losses`]: what somebody has accepted as lost.

pub mod claims;
pub mod drain;
mod events;
pub mod expect;
pub mod findings;
pub mod fleet;
#[cfg(test)]
mod fleet_tests;
pub mod homes;
mod judge;
pub mod ledger;
#[cfg(test)]
mod ledger_tests;
pub mod losses;
pub mod repaired;
pub mod report;
mod sight;
mod sums;
pub mod survey;
#[cfg(test)]
mod survey_tests;

use std::time::Duration;

use anyhow::Context;
use sluice_directory::Client as Directory;
use sluice_journal::{Journal, ReadError};
use sluice_model::Position;

use crate::{args::VerifyArgs, connection, progress::Progress};
use claims::Claims;
use fleet::Fleet;
use ledger::Ledger;
use losses::Loss;
use report::Report;
use sums::BUCKETS;
use survey::Selection;

/// How long the journal's servers may elect a leader. Longer than they do when one was lost.
const JOURNAL_LIMIT: Duration = Duration::from_secs(20);

/// How long listing the dead letters may take.
const DEAD_LETTERS_TIMEOUT: Duration = Duration::from_secs(60);

/// How often the journal may be trimmed while it is read. Each time less of it is left to read.
const TRIMMED_TRIES: u32 = 20;

/// Checks everything once.
///
/// Events that arrive while it runs do no harm: their rows are told apart from rows that no event ever had, and they are
/// not missed where they are not there yet.
///
/// # Errors
/// Where NATS, the directory or a shard does not answer: then nothing is known. What is wrong is part of the report.
pub async fn run(args: &VerifyArgs) -> anyhow::Result<Report> {
    let claims = (!args.account.is_empty()).then(|| Claims::read(&args.account, args.list)).transpose()?;
    let client = connection::connect(&args.nats).await?;
    let directory = Directory::from_args(&args.directory, &client).context("reach the directory")?;
    let journal = Journal::open_within(client, &args.journal, JOURNAL_LIMIT).await.context("open the journal")?;
    if directory.names_shards_late().await.context("ask the directory")? {
        let mut nobodys = Ledger::survey(journal.partitions(), Vec::new(), Selection::default());
        read_untrimmed(&journal, &mut nobodys).await?;
        homes::introduce(&mut nobodys, &directory).await?;
    }
    let shards = directory.shards().await.context("ask the directory for the shards")?;
    let mut fleet = Fleet::new(&shards, journal.id());
    let shard = args.shard.as_ref().map(|shard| fleet.select(shard)).transpose()?;
    let selection = Selection { customer: args.customer.clone(), shard };
    let mut ledger = Ledger::survey(journal.partitions(), fleet.names(), selection);
    let losses = note_repairs(&journal, &mut ledger).await?;
    if shard.is_some() {
        // Whose events belong there has to be known before they are noted.
        read_untrimmed(&journal, &mut ledger).await?;
        homes::resolve(&mut ledger, &directory).await?;
    }

    let read_through = read_untrimmed(&journal, &mut ledger).await?;
    let wait = Duration::from_secs(args.wait_s);
    let outcome = drain::wait(&mut ledger, &mut fleet, &journal, &directory, wait).await?;
    fleet.show_rows(&mut ledger).await?;
    // Last of all: a row and a dead letter of the same event are one too many, whichever came first.
    let mut dead_letters = bury(&mut ledger, &journal).await?;
    if !ledger.is_proven() {
        tracing::info!("some sums differ, or there is load: reading again what has to be looked at one by one");
        read_closer(&journal, &mut ledger, &read_through).await?;
        fleet.show_rows(&mut ledger).await?;
        read_later(&journal, &mut ledger, &read_through).await?;
        homes::resolve(&mut ledger, &directory).await?;
        dead_letters = bury(&mut ledger, &journal).await?;
    }
    let mut report = Report::new(ledger.close(args.list), outcome, dead_letters);
    report.losses = losses;
    report.judge_by_lacking(losses::lacking(&journal, &mut fleet).await?);
    if let Some(mut claims) = claims {
        fleet.show_people(&mut claims).await?;
        report.judge_by(claims.close());
    }
    Ok(report)
}

/// Surveys the journal as it is now, from the beginning; begins again where it is trimmed meanwhile. Gives each partition's last
/// position.
async fn read_untrimmed(journal: &Journal, ledger: &mut Ledger) -> anyhow::Result<Vec<Position>> {
    for _ in 0..TRIMMED_TRIES {
        ledger.begin_survey(BUCKETS);
        // Dead letters that are known before need no closer look.
        bury(ledger, journal).await?;
        if let Some(read_through) = unless_trimmed(read_all(journal, ledger, None).await)? {
            ledger.read_through(&read_through);
            return Ok(read_through);
        }
    }
    Err(too_often())
}

/// Reads again what was surveyed, for a closer look, if there has to be one; begins again where it is trimmed meanwhile.
async fn read_closer(journal: &Journal, ledger: &mut Ledger, read_through: &[Position]) -> anyhow::Result<()> {
    for _ in 0..TRIMMED_TRIES {
        if !ledger.look_closer() || unless_trimmed(read_all(journal, ledger, Some(read_through)).await)?.is_some() {
            return Ok(());
        }
    }
    Err(too_often())
}

/// `None` where the journal was trimmed.
fn unless_trimmed<T>(read: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
    match read {
        Err(error) if matches!(error.downcast_ref(), Some(ReadError::Trimmed { .. })) => {
            let error = &*error as &dyn std::error::Error;
            tracing::warn!(error, "the journal is being trimmed: from the beginning");
            Ok(None)
        }
        read => read.map(Some),
    }
}

fn too_often() -> anyhow::Error {
    anyhow::anyhow!(
        "the journal was trimmed {TRIMMED_TRIES} times while it was read; verify it when there is less load"
    )
}

/// Notes what was lost, and repaired since, or accepted as lost: by the record of repairs, and by
/// nothing else. Gives what was accepted.
async fn note_repairs(journal: &Journal, ledger: &mut Ledger) -> anyhow::Result<Vec<Loss>> {
    let mut losses = Vec::new();
    for partition in journal.partitions().all() {
        let (record, _) = journal.repairs(partition).await.context("read what was repaired")?;
        for (repair, _) in record.finished() {
            for lost in &repair.lost {
                if let Some(shard) = ledger.shard(&lost.shard) {
                    ledger.repaired.lost(shard, lost.cut, lost.stored);
                }
            }
        }
        for loss in &record.accepted {
            for gone in &loss.gone {
                // Where the journal has lost its end since, those positions were given again.
                if journal.holds_loss(*gone).await.context("look at what was accepted as lost")? {
                    ledger.repaired.gone(*gone);
                }
            }
            losses.push(Loss::new(partition, loss));
        }
    }
    Ok(losses)
}

/// Notes every event that the journal holds now, or holds of what it held up to `through`; gives each partition's last position.
async fn read_all(
    journal: &Journal,
    ledger: &mut Ledger,
    through: Option<&[Position]>,
) -> anyhow::Result<Vec<Position>> {
    let mut ranges = Vec::new();
    for partition in journal.partitions().all() {
        let bounds = journal.bounds(partition).await?;
        let last = through.map_or(bounds.last, |through| through[partition.index()]);
        ranges.push((partition, bounds.first, last));
    }
    let messages = ranges.iter().map(|(_, first, last)| last.next().get().saturating_sub(first.get())).sum();
    let label = if through.is_some() { "reading the journal again" } else { "reading the journal" };
    let progress = Progress::begin(label, messages, "messages");
    let mut done = 0;
    for (partition, first, last) in &ranges {
        ledger.begin(*partition, *first);
        expect::read(journal, *first, *last, ledger, &progress, &mut done).await?;
    }
    progress.end();
    Ok(ranges.iter().map(|(_, _, last)| *last).collect())
}

/// Notes what came since, if rows were found that only such events can explain.
async fn read_later(journal: &Journal, ledger: &mut Ledger, read_through: &[Position]) -> anyhow::Result<()> {
    if !ledger.has_unexplained_rows() {
        return Ok(());
    }
    ledger.from_here_late();
    for (partition, last) in journal.partitions().all().zip(read_through) {
        let now = journal.bounds(partition).await?.last;
        let new = now.get().saturating_sub(last.get());
        let progress = Progress::begin(format!("reading what came later in partition {partition}"), new, "messages");
        expect::read(journal, last.next(), now, ledger, &progress, &mut 0).await?;
        progress.end();
    }
    Ok(())
}

/// Notes every dead letter; gives the number of their events.
async fn bury(ledger: &mut Ledger, journal: &Journal) -> anyhow::Result<u64> {
    let dead_letters = journal.dead_letters();
    let letters = tokio::time::timeout(DEAD_LETTERS_TIMEOUT, dead_letters.list()).await;
    let letters = letters.context("listing the dead letters takes too long")??;
    for letter in &letters {
        let position = letter.id.position();
        // Where a position was given twice, a letter may be of what stood there before. One without a stamp is taken at its word.
        let dated = letter.stamp != 0 && ledger.repaired.touches(position);
        if !dated || journal.stamp(position).await?.is_none_or(|stamp| stamp == letter.stamp) {
            letter.ids().for_each(|id| ledger.bury_of(id, Some(&letter.customer)));
        }
    }
    Ok(letters.iter().map(|letter| letter.events.count() as u64).sum())
}
