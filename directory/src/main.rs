//! `directory`: the service, and the administrator's commands. See `directory --help`.

use std::process::ExitCode;

use clap::Parser;
use sluice_directory::{
    admin,
    cli::{Cli, Command},
};

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { admin, command } = Cli::parse();
    let done = match command {
        Command::Serve(serve) => serve.run().await,
        Command::Shard(command) => admin::shard(&admin, command).await,
        Command::Customer(command) => admin::customer(&admin, command).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error);
            ExitCode::FAILURE
        }
    }
}

/// In one line with all its causes, whether or not the environment asks for backtraces.
#[expect(clippy::print_stderr, reason = "the last word of a command that failed")]
fn say(error: &anyhow::Error) {
    eprintln!("directory: {error:#}");
}
