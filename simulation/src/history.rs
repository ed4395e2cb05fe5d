//! What has happened in a simulation, line by line.

use std::{fmt::Write as _, time::Duration};

/// The history of one simulation.
#[derive(Debug, Default)]
pub struct History {
    lines: Vec<String>,
    hash: u64,
}

impl History {
    /// Adds a line.
    pub fn add(&mut self, at: Duration, actor: &str, what: &str) {
        let mut line = String::with_capacity(24 + actor.len() + what.len());
        // A string takes whatever is written to it.
        let _ = write!(line, "{:>9.3} {actor:<16} {what}", at.as_secs_f64());
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.lines.push(line);
    }

    /// Its lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// A number that two histories share only where they are the same.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}
