//! `directory`: the service, and the administrator's commands. See `directory --help`.

use std::process::ExitCode;

use sluice_directory::{
    DirectoryError, admin,
    cli::{Cli, Command},
};
use sluice_service::{output, settings};

/// No directory answered.
const UNREACHABLE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let (Cli { admin, command }, settings) = settings::parse();
    if !matches!(command, Command::Serve(_)) {
        settings.warn();
    }
    let done = match command {
        Command::Serve(serve) => serve.run(&settings).await,
        Command::Shard(command) => admin::shard(&admin, command).await,
        Command::Customer(command) => admin::customer(&admin, command).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let failed = output::failure("directory", &error);
            if is_unreachable(&error) { ExitCode::from(UNREACHABLE) } else { failed }
        }
    }
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(DirectoryError::Unreachable(_))))
}
