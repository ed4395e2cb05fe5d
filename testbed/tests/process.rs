//! A process of ours can be killed, frozen, stopped and started again, and never outlives its owner.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sluice_testbed::{
    process::{Launch, Process},
    ready::Ready,
    wait,
};

const LIMIT: Duration = Duration::from_secs(10);

fn shell(folder: &Path, script: &str) -> Launch {
    Launch {
        name: "shell".into(),
        program: PathBuf::from("sh"),
        args: vec!["-c".into(), OsString::from(script)],
        env: Vec::new(),
        log: sluice_testbed::log_file::LogFile::new(folder, "shell"),
        ready: Ready::AtOnce,
        own_group: false,
    }
}

/// Prints a line at the start, and ends with 7 when asked to stop.
const POLITE: &str = "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done";

async fn polite(folder: &Path) -> Process {
    let process = Process::start(shell(folder, POLITE)).await.unwrap();
    wait_for_lines(&process, 1).await;
    process
}

async fn wait_for_lines(process: &Process, lines: usize) {
    let log = process.log().to_owned();
    let there = || async { std::fs::read_to_string(&log).is_ok_and(|text| text.lines().count() >= lines) };
    wait::until("lines in the log", LIMIT, there).await.unwrap();
}

fn state(pid: u32) -> Option<char> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.trim_start().chars().next()
}

#[tokio::test]
async fn stopping_lets_a_process_finish_and_killing_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = polite(folder.path()).await;
    assert!(process.is_running());
    assert_eq!(process.stop().code(), Some(7));
    assert!(!process.is_running());
    process.restart().await.unwrap();
    wait_for_lines(&process, 2).await;
    assert_eq!(process.kill().signal(), Some(9));
}

#[tokio::test]
async fn a_restarted_process_is_a_new_one_with_the_same_arguments_and_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = polite(folder.path()).await;
    let first = process.pid();
    process.restart().await.unwrap();
    wait_for_lines(&process, 2).await;
    assert_ne!(process.pid(), first);
    assert_eq!(std::fs::read_to_string(process.log()).unwrap(), "up\nup\n");
}

#[tokio::test]
async fn a_frozen_process_stands_still_until_it_is_thawed_and_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = polite(folder.path()).await;
    let pid = process.pid();
    process.freeze();
    wait::until("it stands still", LIMIT, || async { state(pid) == Some('T') }).await.unwrap();
    process.thaw();
    wait::until("it goes on", LIMIT, || async { state(pid) != Some('T') }).await.unwrap();
    process.freeze();
    assert_eq!(process.stop().code(), Some(7));
}

#[tokio::test]
async fn dropping_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let process = polite(folder.path()).await;
    let pid = process.pid();
    assert!(state(pid).is_some());
    drop(process);
    assert_eq!(state(pid), None);
}

#[tokio::test]
async fn a_start_that_fails_shows_the_last_lines_of_the_log_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let script = "i=0; while [ $i -lt 30 ]; do echo line-$i; i=$((i+1)); done; exit 3";
    let launch = Launch { ready: Ready::Http(([127, 0, 0, 1], 1).into()), ..shell(folder.path(), script) };
    let error = Process::start(launch).await.unwrap_err().to_string();
    assert!(error.contains("exit status: 3") && error.contains("line-29") && error.contains("line-10"), "{error}");
    assert!(!error.contains("line-9\n"), "{error}");
}
