//! Which fault happens when.

use std::{collections::BTreeMap, fmt, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::fault::Fault;

/// No more faults than this at a time: with more, nothing works any more, and nothing is learned.
const AT_ONCE: usize = 3;

/// A fault, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// What happens.
    pub fault: Fault,
    /// When it begins, from the start of the soak.
    pub begins: Duration,
    /// When it is mended.
    pub ends: Duration,
}

/// What is to be done at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The fault begins.
    Begins(Planned),
    /// The fault ends.
    Ends(Planned),
}

impl Moment {
    /// When, from the start of the soak.
    pub fn at(&self) -> Duration {
        match self {
            Self::Begins(planned) => planned.begins,
            Self::Ends(planned) => planned.ends,
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Begins(planned) => {
                format!("{} for {:.1} s", planned.fault, (planned.ends - planned.begins).as_secs_f64())
            }
            Self::Ends(planned) => format!("    over: {}", planned.fault),
        };
        f.pad(&text)
    }
}

/// Faults in the order of their beginnings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<Planned>);

impl Schedule {
    /// Draws faults for so long. Beside every second outage of a shard a writer joins or leaves while it lasts.
    pub fn draw(seed: u64, time: Duration, per_minute: f64, catalogue: &[Fault]) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut schedule = Self(Vec::new());
        let gap = 60.0 / per_minute;
        let mut at = Duration::from_secs(1);
        while at < time {
            if let Some(planned) = schedule.plan(&mut random, at, catalogue)
                && planned.fault.is_outage_of_a_shard()
                && random.random()
            {
                let writers: Vec<_> = catalogue.iter().copied().filter(|fault| fault.changes_the_writers()).collect();
                let within = (planned.ends - planned.begins).mul_f64(random.random_range(0.0..0.5));
                schedule.plan(&mut random, at + within, &writers);
            }
            at += Duration::from_secs_f64(random.random_range(0.0..2.0 * gap));
        }
        schedule.0.sort_by_key(|planned| planned.begins);
        Self(schedule.0)
    }

    /// Plans one of these faults to begin at that moment, unless there are too many then.
    fn plan(&mut self, random: &mut StdRng, begins: Duration, faults: &[Fault]) -> Option<Planned> {
        // One that begins later counts too: it is there before this one may be over.
        let under_way: Vec<_> = self.0.iter().filter(|other| other.ends > begins).map(|p| p.fault.target).collect();
        let is_free = |fault: &&Fault| !under_way.iter().any(|target| fault.target.excludes(*target));
        let free: Vec<_> = faults.iter().filter(is_free).collect();
        if under_way.len() >= AT_ONCE || free.is_empty() {
            return None;
        }
        let fault = *free[random.random_range(0..free.len())];
        let (least, most) = fault.lasts_ms();
        let ends = begins + Duration::from_millis(random.random_range(least..=most));
        let planned = Planned { fault, begins, ends };
        self.0.push(planned);
        Some(planned)
    }

    /// Everything that is to be done, in order.
    pub fn moments(&self) -> Vec<Moment> {
        let both = |planned: &Planned| [Moment::Begins(*planned), Moment::Ends(*planned)];
        let mut moments: Vec<_> = self.0.iter().flat_map(both).collect();
        moments.sort_by_key(Moment::at);
        moments
    }

    /// How often a writer joins or leaves during an outage of a shard.
    pub fn writer_changes_during_outages(&self) -> usize {
        let outages: Vec<_> = self.0.iter().filter(|planned| planned.fault.is_outage_of_a_shard()).collect();
        let during = |at: &Duration| outages.iter().any(|outage| outage.begins < *at && *at < outage.ends);
        let changes = self.0.iter().filter(|planned| planned.fault.changes_the_writers());
        changes.flat_map(|planned| [planned.begins, planned.ends]).filter(during).count()
    }

    /// How many there are of each kind of fault.
    pub fn kinds(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for planned in &self.0 {
            *kinds.entry(planned.fault.to_string()).or_default() += 1;
        }
        kinds
    }
}

#[cfg(test)]
mod tests {
    use sluice_shard::Flavor;

    use super::*;
    use crate::Shards;
    use crate::soak::fault::{Target, catalogue};

    #[test]
    fn a_seed_gives_the_same_faults_again_and_no_target_two_at_a_time() {
        let all = catalogue(Flavor::Postgres.into(), 1);
        let draw = |seed| Schedule::draw(seed, Duration::from_secs(1_200), 15.0, &all);
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        for seed in 0..20 {
            let schedule = draw(seed);
            assert!(schedule.0.len() > 200, "{}", schedule.0.len());
            // A fault may begin at the very moment at which another ends: it is mended first, as the order of moments keeps.
            let mut broken = Vec::new();
            for moment in schedule.moments() {
                match moment {
                    Moment::Begins(planned) => {
                        assert!(
                            !broken.iter().any(|target: &Target| planned.fault.target.excludes(*target))
                                && broken.len() < AT_ONCE,
                            "{planned:?}"
                        );
                        broken.push(planned.fault.target);
                    }
                    Moment::Ends(planned) => broken.retain(|target| *target != planned.fault.target),
                }
            }
            assert!(broken.is_empty());
            assert!(schedule.writer_changes_during_outages() > 50, "{}", schedule.writer_changes_during_outages());
        }
    }

    #[test]
    fn every_fault_of_the_catalogue_comes() {
        for shards in [Flavor::Sqlite.into(), Flavor::Postgres.into(), Flavor::Mysql.into(), Shards::Mixed] {
            let all = catalogue(shards, 1);
            let drawn = Schedule::draw(1, Duration::from_secs(3_600), 15.0, &all).kinds();
            assert_eq!(drawn.len(), all.len());
        }
    }
}
