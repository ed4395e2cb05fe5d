//! The command line of `writer dead`.

use clap::{Args, Subcommand, ValueEnum};
use sluice_directory::DirectoryArgs;
use sluice_model::{CustomerId, EventId, Reason};
use sluice_service::nats::NatsArgs;

const CODES: &str = "Exit status: 0 all done, 1 something was refused or failed, 2 usage, or somebody did not answer.";

/// What can be done about dead letters.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "one is made in a process' life")]
pub enum DeadCommand {
    /// Name the dead letters.
    #[command(after_help = CODES)]
    List(ListArgs),
    /// Show everything about one of them, with the event itself.
    #[command(after_help = CODES)]
    Show(ShowArgs),
    /// Bring dead events back into the journal, each once, where what was in their way is mended.
    #[command(after_help = "\
Examples:
  writer dead replay --reason unknown_customer --customer 42 --dry-run
  writer dead replay 54043195528446976

A replayed event gets a new position and id. One that fails again becomes a new dead letter; nothing replays by itself.
Given again, after a crash too, the command does nothing twice.

Exit status: 0 all done, 1 something was refused or failed, 2 usage, or somebody did not answer.")]
    Replay(ReplayArgs),
    /// Remove dead letters that nobody wants. A small tombstone stays, so that the event is accounted for.
    #[command(after_help = CODES)]
    Drop(DropArgs),
}

/// How a command reaches the journal, and how loud it is.
#[derive(Debug, Clone, Args)]
pub struct ReachArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub nats: NatsArgs,
    /// What is logged to standard error, in tracing-subscriber's filter syntax.
    #[arg(long, env = "RUST_LOG", default_value = "warn")]
    pub log: String,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// `writer dead list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those with this reason, such as malformed_json.
    #[arg(long, value_parser = reason)]
    pub reason: Option<Reason>,
    /// Only this customer's; _ for those that are nobody's.
    #[arg(long, value_parser = customer)]
    pub customer: Option<String>,
    /// Also name those that were replayed or dropped.
    #[arg(long)]
    pub tombstones: bool,
    /// How to report.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub reach: ReachArgs,
}

/// `writer dead show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The event's id.
    pub id: EventId,
    /// How to report.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub reach: ReachArgs,
}

/// Which dead letters are meant: some by id, those that fit all filters, or all.
#[derive(Debug, Default, Args)]
#[group(required = true, multiple = true)]
pub struct Selection {
    /// Event ids.
    #[arg(value_name = "ID", conflicts_with_all = ["reason", "customer", "all"])]
    pub ids: Vec<EventId>,
    /// Those with this reason, such as unknown_customer.
    #[arg(long, value_parser = reason)]
    pub reason: Option<Reason>,
    /// This customer's; _ for those that are nobody's.
    #[arg(long, value_parser = customer)]
    pub customer: Option<String>,
    /// All of them.
    #[arg(long, conflicts_with_all = ["reason", "customer"])]
    pub all: bool,
}

/// `writer dead replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub selection: Selection,
    /// Only say what would be done: would_replay, or would_die_again where nothing but another event
    /// would help.
    #[arg(long)]
    pub dry_run: bool,
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

/// `writer dead drop`
#[derive(Debug, Args)]
pub struct DropArgs {
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub selection: Selection,
    /// Only say what would be done.
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Do it: there is no way back.
    #[arg(long)]
    pub yes: bool,
    /// Also drop letters whose replay was begun and not finished. It may have made a row, or may yet.
    #[arg(long)]
    pub force: bool,
    /// How to report.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented at its own type")]
    pub reach: ReachArgs,
}

/// A mistyped reason would fit nothing, and look as if there were nothing.
fn reason(code: &str) -> Result<Reason, String> {
    serde_json::from_value(code.into()).map_err(|error| error.to_string())
}

fn customer(name: &str) -> Result<String, String> {
    match name {
        "_" => Ok(name.to_owned()),
        name => CustomerId::check(name).map(|()| name.to_owned()).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        command: DeadCommand,
    }

    fn accepts(line: &str) -> bool {
        Cli::try_parse_from(["dead"].into_iter().chain(line.split_whitespace())).is_ok()
    }

    #[test]
    fn the_command_line_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn what_is_replayed_or_dropped_has_to_be_named_in_one_way_only() {
        for good in ["1024 2048", "--reason too_long", "--reason too_long --customer 42", "--customer _", "--all"] {
            assert!(accepts(&format!("replay {good} --dry-run")) && accepts(&format!("drop {good} --yes")), "{good}");
        }
        for bad in
            ["", "--all 1024", "--all --reason too_long", "1024 --customer 42", "--reason tired", "--customer a.b"]
        {
            assert!(!accepts(&format!("replay {bad}")) && !accepts(&format!("drop {bad}")), "{bad}");
        }
        assert!(accepts("list") && accepts("list --reason too_long -o json") && accepts("show 1024"));
        assert!(!accepts("show") && !accepts("show -1") && !accepts("drop --all --yes --dry-run"));
    }
}
