//! How far a command is, on standard error: a bar for a terminal, a line now and then for a log.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use sluice_service::output;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// One piece of work.
#[derive(Debug)]
pub struct Progress {
    label: String,
    unit: &'static str,
    total: u64,
    bar: ProgressBar,
    last_line: Mutex<Instant>,
}

impl Progress {
    /// Work with so many steps to do.
    pub fn begin(label: impl Into<String>, total: u64, unit: &'static str) -> Self {
        let label = label.into();
        let bar = ProgressBar::new(total).with_message(label.clone());
        let template = format!("{{msg}} {{wide_bar}} {{human_pos}} of {{human_len}} {unit}, {{per_sec}}, {{eta}}");
        bar.set_style(ProgressStyle::with_template(&template).expect("the template is ours"));
        Self { label, unit, total, bar, last_line: Mutex::new(Instant::now()) }
    }

    /// So many are done; what was said last still holds.
    pub fn to(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// So many are done.
    pub fn at(&self, done: u64) {
        self.bar.set_position(done);
        self.line(|| format!("{}: {done} of {} {}", self.label, self.total, self.unit));
    }

    /// So many are done, and something is worth knowing.
    pub fn say(&self, done: u64, text: &str) {
        self.bar.set_position(done);
        self.bar.set_message(format!("{}: {text}", self.label));
        self.line(|| format!("{}: {text}", self.label));
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, text: impl FnOnce() -> String) {
        if !self.bar.is_hidden() {
            return;
        }
        let mut last = self.last_line.lock().expect("no holder panics");
        if last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            output::note(text());
        }
    }
}
