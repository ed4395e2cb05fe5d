//! The writers of the world: each a whole writer, started where the real one has opened journal and directory.

use std::time::Duration;

use clap::Parser;
use sluice_writer::{Config, service, status::Status};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::World;
use crate::chance::Chance;

/// A writer's process.
pub(super) struct Writer {
    /// Its own name: another one of the same member name has another.
    process: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
    is_stopping: bool,
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    config: Config,
}

impl World {
    /// Starts a writer; one of that name that is still stopping is killed first. Nothing happens where it runs.
    pub fn start(&self, name: &str) {
        if self.changing().is_over {
            return;
        }
        let before = self.changing().writers.get(name).map(|writer| (writer.is_stopping, writer.task.is_finished()));
        match before {
            Some((false, false)) => return,
            Some((true, false)) => self.kill(name, false),
            _ => {}
        }
        let process = {
            let mut changing = self.changing();
            changing.processes += 1;
            format!("{name}.{}", changing.processes)
        };
        self.note(&format!("{process} starts"));
        let stop = CancellationToken::new();
        let task = tokio::spawn(self.clone().write(name.to_owned(), process.clone(), stop.clone()));
        let writer = Writer { process, stop, task, is_stopping: false };
        self.changing().writers.insert(name.to_owned(), writer);
    }

    async fn write(self, name: String, process: String, stop: CancellationToken) {
        let config = self.config();
        let name = name.parse().expect("a letter and a digit");
        let (journal, directory) = (self.server().journal(&process), self.directory().client(&process));
        let written = service::write(&config, name, journal, directory, Status::default(), &stop);
        let ended = Box::pin(written).await;
        self.note(&format!("{process} has ended: {ended:?}"));
        if let Err(error) = ended {
            self.oracle().breaks(format!("{process} ends by itself: {error:#}"));
        } else if !stop.is_cancelled() {
            self.oracle().breaks(format!("{process} ends by itself"));
        }
    }

    /// Kills a writer at once. `arrives`: commits that are on their way arrive.
    pub fn kill(&self, name: &str, arrives: bool) {
        let Some(writer) = self.changing().writers.remove(name) else { return };
        self.note(&format!("{} dies", writer.process));
        self.scheduler().kill(&writer.process);
        let databases = self.changing().databases.clone();
        databases.values().for_each(|database| database.process_died(&writer.process, arrives));
        // What is left of it waits for turns that never come; the rest need not go on for ever.
        writer.stop.cancel();
    }

    /// Tells a writer to stop.
    pub fn stop(&self, name: &str) {
        if let Some(writer) = self.changing().writers.get_mut(name) {
            writer.is_stopping = true;
            writer.stop.cancel();
            let what = format!("{} is told to stop", writer.process);
            sluice_failpoint::simulated::note("world", || what);
        }
    }

    /// A writer stands still for a while.
    pub fn freeze(&self, name: &str, lasts: Duration) {
        let process = self.changing().writers.get(name).map(|writer| writer.process.clone());
        if let Some(process) = process {
            self.note(&format!("{process} stands still for {} ms", lasts.as_millis()));
            self.scheduler().freeze(&process, Instant::now() + lasts);
        }
    }

    /// One of the writers that run.
    pub fn running(&self, chance: &mut Chance) -> Option<String> {
        let changing = self.changing();
        let running = changing.writers.iter().filter(|(_, writer)| !writer.is_stopping && !writer.task.is_finished());
        let running: Vec<_> = running.map(|(name, _)| name.clone()).collect();
        (!running.is_empty()).then(|| chance.one_of(&running).clone())
    }

    /// One of the writers that are not there.
    pub fn absent(&self, chance: &mut Chance) -> Option<String> {
        let absent: Vec<String> = {
            let changing = self.changing();
            let is_there = |name: &String| changing.writers.get(name).is_some_and(|writer| !writer.task.is_finished());
            self.plan().writers.iter().filter(|name| !is_there(name)).cloned().collect()
        };
        (!absent.is_empty()).then(|| chance.one_of(&absent).clone())
    }

    /// Tells all writers to stop, and waits until they have ended. Gives those that have not in time.
    pub async fn stop_all(&self, limit: Duration) -> Vec<String> {
        self.changing().is_over = true;
        let names: Vec<String> = self.changing().writers.keys().cloned().collect();
        names.iter().for_each(|name| self.stop(name));
        let until = Instant::now() + limit;
        let left = || {
            let changing = self.changing();
            let left = changing.writers.values().filter(|writer| !writer.task.is_finished());
            left.map(|writer| writer.process.clone()).collect::<Vec<_>>()
        };
        while !left().is_empty() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        left()
    }

    fn config(&self) -> Config {
        let knobs = self.plan().knobs.clone();
        let mut config = Line::parse_from(["writer"]).config;
        config.workers = knobs.workers;
        config.group.takeover_ms = knobs.takeover_ms;
        config.lanes.lane_queue_bytes = knobs.lane_queue_bytes;
        config.lanes.idle_advance_ms = knobs.idle_advance_ms;
        config.lanes.lane_patience_ms = knobs.lane_patience_ms;
        config.lanes.start_patience_ms = knobs.start_patience_ms;
        config.lanes.shard_statement_ms = knobs.shard_statement_ms;
        config.lanes.grace_ms = knobs.grace_ms;
        config.trim.trim_interval_ms = knobs.trim_interval_ms;
        config.trim.retain_s = knobs.retain_s;
        config
    }
}
