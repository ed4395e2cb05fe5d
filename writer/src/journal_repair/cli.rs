//! The command line of `writer journal`.

use clap::{Args, Subcommand};
use sluice_directory::DirectoryArgs;

use crate::dead::cli::{Output, ReachArgs};

/// What can be done about the journal itself.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Show each partition, and how what each shard has stored stands to it.
    #[command(after_help = "\
A shard's state:
  ok               the journal holds the message that the shard has stored last, or has trimmed it
  repaired         it does not, and a repair has seen to that; the shard goes on from there
  unfinished       a repair that concerns it was interrupted, or the journal lost what that did: repair
  beyond the end   the journal ends before it: repair
  replaced         another message stands there: the journal lost its end and went on: repair
  other journal    the shard belongs to a journal that was there before: repair
  lacks            the journal no longer holds what the shard needs next: restore a newer copy of the shard, or repair
  accepted         the same, and somebody has accepted that loss: the shard goes on behind it
  stops ahead      messages that the shard needs later are gone from the middle of the partition: repair
  unseen           the message that the shard has stored last is gone from the middle of the partition: repair
  unreadable       the database does not answer

Exit status: 0 every state is ok, repaired or accepted, 1 one is not, 2 usage, or NATS or the directory did not answer.")]
    Show(ShowArgs),
    /// Mend a journal that lost its end, or was made anew, so that the writers go on and no
    /// position is given twice; and go on where messages are gone for good.
    #[command(after_help = "\
Without --yes it only says what it would do, and changes nothing.

What happens, partition by partition: the stream is filled up beyond all that any shard has stored, with messages that hold nothing.
What was accepted since the loss, and belongs to a shard that will not read it where it stands, is stored again behind that: such
events get new ids, which -o json names. No row is touched. Every shard has to be up.

Stopped or killed at any point, give the command again: it goes on. Ingest and the writers may run. Writers that stopped a
partition go on with it by themselves, or after a restart; after a journal was made anew, restart what was started before.

Messages that a shard lacks and the journal no longer has (somebody purged it, they expired, a shard was restored to before what
it holds) cannot be brought back. They are named. With --yes --accept-loss each shard that lacks them goes on behind them; the
record of it is kept, and `loadgen verify` tells of it. Before that, ask whether a newer copy of the shard can be put back.

Examples:
  writer journal repair
  writer journal repair --yes --accept-loss
  writer journal repair --yes -o json
  writer journal repair --yes --from-journal 5c0b7fa0f0e64d7c8b1d1b5d4c3f2a10

Exit status: 0 nothing (more) to do, 1 something would be done, was refused, or is lost and not accepted, 2 usage, or somebody did
not answer.")]
    Repair(RepairArgs),
}

/// `writer journal show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// How to report.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub directory: DirectoryArgs,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub reach: ReachArgs,
}

/// `writer journal repair`
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// Do it.
    #[arg(long)]
    pub yes: bool,
    /// With --yes: accept that what is named as lost is lost, and let the shards that lack it go on
    /// behind it. Events of their customers are then missing for good.
    #[arg(long)]
    pub accept_loss: bool,
    /// Give the shards that belong to the journal of this id over to the one that is there now. The old one is given up for good:
    /// where its disk can be put back, do that instead. May be given several times.
    #[arg(long, value_name = "ID")]
    pub from_journal: Vec<String>,
    /// The most fillers of a partition. Too low: a journal that lost much is refused. Too high: a repair that takes hours, and some
    /// 48 bytes of disk for each.
    #[arg(long, value_name = "N", default_value_t = 5_000_000)]
    pub max_fillers: u64,
    /// How to report.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub directory: DirectoryArgs,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub reach: ReachArgs,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        command: JournalCommand,
    }

    #[test]
    fn the_command_line_is_well_formed_and_nothing_is_done_without_yes() {
        <Cli as clap::CommandFactory>::command().debug_assert();
        let parsed = Cli::try_parse_from(["journal", "repair", "--from-journal", "a", "--from-journal", "b"]).unwrap();
        let JournalCommand::Repair(args) = parsed.command else { panic!("{parsed:?}") };
        assert!(!args.yes && !args.accept_loss && args.max_fillers == 5_000_000 && args.from_journal == ["a", "b"]);
        assert!(Cli::try_parse_from(["journal", "repair", "--max-fillers", "-1"]).is_err());
        assert!(Cli::try_parse_from(["journal", "repair", "1"]).is_err());
    }
}
