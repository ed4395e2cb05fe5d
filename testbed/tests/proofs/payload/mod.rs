//! A NATS server that takes small messages, or smaller ones than before: every size follows, and
//! each outcome is known.

mod posts;
mod stored;

use std::{path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sluice_testbed::{Process, wait};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
};

/// How long a reload may take.
const RELOAD: Duration = Duration::from_secs(10);

/// Lets the server, whose folder that is, take so many bytes from now on: by its configuration and
/// a reload, as an operator would. Its clients hear nothing of it.
async fn set_max_payload(server: &Process, folder: &Path, url: &str, bytes: usize) {
    let path = folder.join("nats.conf");
    let config = std::fs::read_to_string(&path).unwrap();
    let others: Vec<&str> = config.lines().filter(|line| !line.starts_with("max_payload")).collect();
    std::fs::write(&path, format!("{}\nmax_payload: {bytes}\n", others.join("\n"))).unwrap();
    kill(Pid::from_raw(i32::try_from(server.pid()).unwrap()), Signal::SIGHUP).unwrap();
    let told = async || greeting(url).await.contains(&format!("\"max_payload\":{bytes},"));
    wait::until("the new limit", RELOAD, told).await.unwrap();
}

/// What the server says to a new connection.
async fn greeting(url: &str) -> String {
    let stream = TcpStream::connect(url.trim_start_matches("nats://")).await.unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    line
}
