//! What one scenario found: our figure beside that of a limit or peer, round by round.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::cpu::Role;

/// What a scenario wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Nothing: the figure is there to be known.
    Known,
}

impl Goal {
    /// Whether a figure is what is wanted.
    pub fn is_met(self, figure: f64) -> bool {
        match self {
            Self::AtMost(most) => figure <= most,
            Self::AtLeast(least) => figure >= least,
            Self::Known => true,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
            Self::Known => f.write_str("-"),
        }
    }
}

/// One figure of one round: ours, what it is compared with, and what the two make.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Round {
    /// Ours.
    pub ours: f64,
    /// The limit's or peer's, measured in the same round.
    pub other: f64,
    /// What the goal is about: mostly the one divided by the other.
    pub figure: f64,
}

impl Round {
    /// A round whose figure is our part of the other.
    pub fn ratio(ours: f64, other: f64) -> Self {
        Self { ours, other, figure: ours / other }
    }
}

/// The place of the round whose figure stands in the middle.
///
/// # Panics
/// Where there was no round.
pub fn middle(rounds: &[Round]) -> usize {
    let mut order: Vec<usize> = (0..rounds.len()).collect();
    order.sort_by(|a, b| rounds[*a].figure.total_cmp(&rounds[*b].figure));
    order[(order.len() - 1) / 2]
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The scenario's letter.
    pub scenario: char,
    /// What was measured.
    pub what: String,
    /// What it is compared with.
    pub against: String,
    /// What both are counted in.
    pub unit: &'static str,
    /// What is wanted of the figure.
    pub goal: Goal,
    /// Every round.
    pub rounds: Vec<Round>,
    /// Our processor time for each event in microseconds, by process: of the middle round.
    pub cpu_us: BTreeMap<Role, f64>,
    /// That of the limit or peer, where it was measured.
    pub other_cpu_us: BTreeMap<Role, f64>,
}

impl Finding {
    /// The round whose figure stands in the middle.
    ///
    /// # Panics
    /// Where there was no round.
    pub fn median(&self) -> Round {
        self.rounds[middle(&self.rounds)]
    }

    /// Whether the middle figure is what is wanted.
    pub fn is_met(&self) -> bool {
        self.goal.is_met(self.median().figure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_round_counts_and_not_the_best_one() {
        let rounds = [1.0, 9.0, 3.0].map(|ours| Round::ratio(ours, 2.0)).to_vec();
        let finding = |goal| Finding {
            scenario: 'A',
            what: String::new(),
            against: String::new(),
            unit: "s",
            goal,
            rounds: rounds.clone(),
            cpu_us: BTreeMap::new(),
            other_cpu_us: BTreeMap::new(),
        };
        assert_eq!(finding(Goal::Known).median().figure, 1.5);
        assert!(finding(Goal::AtMost(1.5)).is_met() && !finding(Goal::AtMost(1.4)).is_met());
        assert!(finding(Goal::AtLeast(1.5)).is_met() && !finding(Goal::AtLeast(1.6)).is_met());
    }
}
