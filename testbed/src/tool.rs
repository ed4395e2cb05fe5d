//! A program that runs to its end.

use std::process::{ExitStatus, Stdio};

use anyhow::Context;
use tokio::process::Command;

/// What a program wrote on standard output, and how it ended.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote.
    pub stdout: String,
}

/// Runs a program whose standard output is for us and whose standard error is for the terminal. Dropping the future ends
/// the program.
///
/// # Errors
/// Where it cannot be started.
pub async fn output(command: &mut Command) -> anyhow::Result<Output> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
    let done = child.wait_with_output().await.with_context(|| format!("cannot wait for {program}"))?;
    Ok(Output { status: done.status, stdout: String::from_utf8_lossy(&done.stdout).into_owned() })
}

/// Runs a program that says nothing unless it fails.
///
/// # Errors
/// Where it fails: with what it wrote.
pub async fn quietly(command: &mut Command) -> anyhow::Result<()> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).kill_on_drop(true);
    let done = command.output().await.with_context(|| format!("cannot start {program}"))?;
    let said = [done.stdout, done.stderr].concat();
    anyhow::ensure!(done.status.success(), "{program} failed: {}", String::from_utf8_lossy(&said).trim());
    Ok(())
}
