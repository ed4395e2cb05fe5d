//! What is being done, on standard error: a spinner at a terminal, plain lines elsewhere, nothing in a test.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sluice_service::output;

/// Whether progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Progress {
    /// To somebody who waits.
    Shown,
    /// A test shows nothing.
    #[default]
    Hidden,
}

impl Progress {
    /// Begins a step, which ends when [`Step::done`] is called or, having failed, when it is dropped.
    pub fn step(self, text: &str) -> Step {
        let bar = ProgressBar::new_spinner().with_message(text.to_owned());
        bar.set_style(ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("the template is ours"));
        match self {
            Self::Hidden => bar.set_draw_target(indicatif::ProgressDrawTarget::hidden()),
            Self::Shown if bar.is_hidden() => self.line(&format!("{text} ...")),
            Self::Shown => bar.enable_steady_tick(Duration::from_millis(100)),
        }
        Step { progress: self, text: text.to_owned(), bar, since: Instant::now() }
    }

    /// One line.
    pub fn line(self, text: &str) {
        if self == Self::Shown {
            output::note(text);
        }
    }
}

/// One step under way.
#[derive(Debug)]
pub struct Step {
    progress: Progress,
    text: String,
    bar: ProgressBar,
    since: Instant,
}

impl Step {
    /// It is done.
    pub fn done(self) {
        self.bar.finish_and_clear();
        self.progress.line(&format!("{}: done in {:.1} s", self.text, self.since.elapsed().as_secs_f64()));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
