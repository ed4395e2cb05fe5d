//! A ledger that surveys first: what it is shown is summed up, and looked at one by one only where the sums are wrong.

use sluice_model::{CustomerId, PartitionCount, Position};

use super::{
    events::Events,
    ledger::Ledger,
    sight::{Closer, Sight, Survey},
    sums::BUCKETS,
};

/// What is checked of all there is.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only this customer's events and rows.
    pub customer: Option<CustomerId>,
    /// Only events that belong on this shard, and its rows.
    pub shard: Option<usize>,
}

impl Ledger {
    /// An empty ledger that looks at sums first, of what is selected.
    pub fn survey(partitions: PartitionCount, shards: Vec<String>, selection: Selection) -> Self {
        let mut ledger = Self::new(partitions, shards);
        ledger.selection = selection;
        ledger.begin_survey(BUCKETS);
        ledger
    }

    /// Begins a survey, or begins it again; who the customers are and where they belong stays known.
    pub(super) fn begin_survey(&mut self, buckets: usize) {
        self.sight = Sight::Survey(Box::new(Survey::new(buckets)));
        self.customers.iter_mut().for_each(|customer| customer.open = 0);
        self.repaired.begin_again();
    }

    /// The survey has all of the journal up to these positions, one for each partition. Rows of what comes later say nothing.
    pub fn read_through(&mut self, last: &[Position]) {
        if let Sight::Survey(survey) = &mut self.sight {
            survey.through = last.to_vec();
        }
    }

    /// Whether a survey proves that every event has its row, or its dead letter, and nothing else is there.
    pub fn is_proven(&self) -> bool {
        matches!(&self.sight, Sight::Survey(survey) if survey.is_proof())
    }

    /// Begins the closer look that a survey has left to do, or begins it again: all rows are to be shown once more, and, if
    /// this says so, all that the survey read of the journal is to be noted once more.
    pub fn look_closer(&mut self) -> bool {
        self.sight = match std::mem::replace(&mut self.sight, Sight::All) {
            Sight::Survey(survey) => Sight::Closer(Closer::new(*survey)),
            sight => sight,
        };
        self.partitions.iter_mut().for_each(Events::clear);
        self.repaired.begin_again();
        self.aside.clear();
        self.late = false;
        for standing in &mut self.shards {
            (standing.rows, standing.before_journal, standing.before_repair) = (0, 0, 0);
            standing.customers.clear();
        }
        let Sight::Closer(closer) = &mut self.sight else { return true };
        closer.begin_again();
        closer.reads_again
    }

    /// Whether events of a customer are to be noted.
    pub(super) fn selects(&self, customer: Option<&CustomerId>) -> bool {
        self.selection.customer.is_none() || self.selection.customer.as_ref() == customer
    }

    /// Whether what belongs on this shard is to be checked.
    pub(super) fn is_selected(&self, shard: u32) -> bool {
        self.selection.shard.is_none_or(|selected| selected == shard as usize)
    }

    /// Whether a customer's events belong on a shard that is not to be checked; nobody's belong nowhere.
    pub(super) fn is_elsewhere(&self, customer: u32) -> bool {
        self.selection.shard.is_some() && self.home(customer).is_none_or(|home| self.selection.shard != Some(home))
    }

    /// How many events, rows and dead letters are kept one by one.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        let surveyed = if let Sight::Survey(survey) = &self.sight { survey.kept() } else { 0 };
        surveyed + self.aside.len() + self.partitions.iter().map(Events::len).sum::<usize>()
    }
}
