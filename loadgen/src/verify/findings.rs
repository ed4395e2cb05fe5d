//! What a closed ledger says.

use serde::Serialize;

/// What is wrong with an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An event without a row anywhere, and without a dead letter. Counted for the shard where it should be.
    Missing,
    /// An event that can never become a row, without a dead letter. Counted with the missing ones.
    NotDeadLettered,
    /// A row beside the one that its event may have: a second one, one of a dead-lettered event, or one whose id the
    /// journal never gave.
    Doubled,
    /// An event's only row, on a shard that its customer's route does not name, or under another customer.
    Misplaced,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Missing, Self::NotDeadLettered, Self::Doubled, Self::Misplaced];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotDeadLettered => "not_dead_lettered",
            Self::Doubled => "doubled",
            Self::Misplaced => "misplaced",
        }
    }
}

/// One wrong id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wrong {
    /// What is wrong.
    pub kind: Kind,
    /// Where the row stands, or (missing) where it should; `None` for an event that has no route.
    pub shard: Option<String>,
    /// Whose row it is, or should be; `None` where its subject names nobody.
    pub customer: Option<String>,
    /// The row's id: an event id, or for rows made by hand any number. A string: it has more than 53 bits.
    #[serde(serialize_with = "as_text")]
    pub id: i64,
    /// For people.
    pub detail: String,
}

fn as_text<S: serde::Serializer>(id: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// One shard's counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ShardFindings {
    /// The shard's name.
    pub shard: String,
    /// All its rows.
    pub rows: u64,
    /// Its distinct customers.
    pub customers: u64,
    /// Events whose row should be here and is nowhere.
    pub missing: u64,
    /// Rows here beside those that events may have.
    pub doubled: u64,
    /// Rows here that belong elsewhere.
    pub misplaced: u64,
    /// Rows here that are older than the journal: nothing can be said of them.
    pub before_journal: u64,
    /// Rows here whose events the journal lost, and a repair knows of that: nothing can be said of them either.
    pub before_repair: u64,
}

impl ShardFindings {
    fn note(&mut self, kind: Kind) {
        match kind {
            Kind::Missing | Kind::NotDeadLettered => self.missing += 1,
            Kind::Doubled => self.doubled += 1,
            Kind::Misplaced => self.misplaced += 1,
        }
    }
}

/// Everything a closed ledger says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many events the check expected, those that came later left out.
    pub events: u64,
    /// One for each shard.
    pub shards: Vec<ShardFindings>,
    /// Missing events that have no shard: nobody has placed their customer, or they have none.
    pub homeless: u64,
    /// The first so many of each kind.
    pub wrong: Vec<Wrong>,
    /// How many are named of each kind at most.
    pub list: usize,
    /// Events and rows whose sums are wrong, and which were too many to be looked at one by one.
    pub not_examined: u64,
    named: [usize; Kind::ALL.len()],
}

impl Findings {
    pub(super) fn new(events: u64, shards: Vec<ShardFindings>, list: usize) -> Self {
        Self { events, shards, list, ..Self::default() }
    }

    /// Counts a wrong id; `describe` is called only if it is also to be named.
    pub(super) fn note(
        &mut self,
        kind: Kind,
        shard: Option<usize>,
        describe: impl FnOnce() -> (Option<String>, i64, String),
    ) {
        match shard {
            Some(shard) => self.shards[shard].note(kind),
            None => self.homeless += 1,
        }
        let named = &mut self.named[kind as usize];
        if *named < self.list {
            *named += 1;
            let (customer, id, detail) = describe();
            let shard = shard.map(|shard| self.shards[shard].shard.clone());
            self.wrong.push(Wrong { kind, shard, customer, id, detail });
        }
    }

    /// Nothing is wrong.
    pub fn is_clean(&self) -> bool {
        let wrong = |shard: &ShardFindings| shard.missing + shard.doubled + shard.misplaced;
        self.homeless == 0 && self.not_examined == 0 && self.shards.iter().all(|shard| wrong(shard) == 0)
    }
}
