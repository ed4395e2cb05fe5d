//! Accepts what is lost: writes it into the record, and stores a message behind it where there is
//! none. No shard is touched.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use sluice_journal::{
    Journal,
    repair::{AcceptedLoss, Gone},
};
use sluice_model::Partition;

use super::loss::{Loss, LostRange};

/// Accepts a partition's loss. False where the journal has changed since somebody looked: look
/// again.
///
/// # Errors
/// Where NATS does not answer, or what a shard has read was written after what stands behind the loss.
pub async fn accept(journal: &Journal, partition: Partition, loss: &Loss) -> anyhow::Result<bool> {
    let mut gone = Vec::new();
    for range in &loss.ranges {
        let Some(stamp) = journal.stamp_behind(range.through).await? else { return Ok(false) };
        check_order(range, stamp)?;
        gone.push(Gone { after: range.after, through: range.through, stamp });
    }
    let accepted = AcceptedLoss { gone, shards: loss.shards.clone(), at: now(), by: who() };
    let noted = journal.accept_loss(partition, &accepted).await;
    noted.with_context(|| format!("note what of partition {partition} is accepted as lost"))?;
    Ok(true)
}

/// What a shard has read was written before what stands behind it, or it was another history that
/// the shard has read.
fn check_order(range: &LostRange, behind: i64) -> anyhow::Result<()> {
    match range.lacking.iter().find(|(.., stamp)| *stamp > behind) {
        None => Ok(()),
        Some((shard, stored, stamp)) => bail!(
            "shard {shard} has stored {stored:?}, written at {stamp} ns, and what stands behind the loss was written before that, at \
             {behind} ns: the journal was put forward again, or a server's clock was set back. Put a copy of the shard back that is \
             older than this"
        ),
    }
}

/// The user and the machine, as far as they say.
fn who() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".to_owned());
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    format!("{user}@{}", host.unwrap_or_else(|| "unknown".to_owned()))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
