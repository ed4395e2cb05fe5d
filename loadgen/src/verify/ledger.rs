//! What is expected against what stands there. No I/O, and no order: events, homes, dead letters and rows may be noted
//! in any order before [`Ledger::close`] (in the room beside this one) judges them.
//!
//! A survey looks at sums first, and at single events only where those differ ([`Ledger::look_closer`]). It knows an order: dead
//! letters that there are already, events, homes, rows, further dead letters.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use sluice_model::{CustomerId, EventId, Partition, PartitionCount, Position};

use super::{
    events::{Events, Marks, NOBODY, Place},
    repaired::Repaired,
    sight::Sight,
    sums::Entry,
    survey::Selection,
};

/// Every event of the journal, every customer's home, and what was found of rows and dead letters.
///
/// It takes about 150 bytes for a customer and 16 for a dead letter. A survey takes 24 MiB besides, whatever the number of events;
/// a closer look (or a ledger that is no survey) 13 to 26 bytes for each event that it looks at, and 16 for a row that is not where it
/// was expected.
#[derive(Debug)]
pub struct Ledger {
    pub(super) partitions: Vec<Events>,
    pub(super) sight: Sight,
    pub(super) selection: Selection,
    pub(super) late: bool,
    pub(super) customers: Vec<Customer>,
    numbers: HashMap<Arc<str>, u32>,
    pub(super) shards: Vec<Standing>,
    /// Rows that were not what was expected when they were shown; judged in the end.
    pub(super) aside: Vec<Row>,
    /// What repairs of the journal left behind. To be filled before anything is noted.
    pub repaired: Repaired,
}

#[derive(Debug)]
pub(super) struct Customer {
    name: Arc<str>,
    home: Option<u32>,
    /// The last position of theirs; `None` for a name that only rows bear.
    last: Option<Position>,
    /// Events without a dead letter; counted by a survey.
    pub(super) open: u64,
}

#[derive(Debug)]
pub(super) struct Standing {
    pub(super) name: String,
    pub(super) rows: u64,
    pub(super) before_journal: u64,
    pub(super) before_repair: u64,
    pub(super) customers: HashSet<u32>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) shard: u32,
    pub(super) customer: u32,
    pub(super) id: i64,
}

impl Ledger {
    /// An empty ledger for a journal and the shards of these names; elsewhere a shard is its index in this list.
    pub fn new(partitions: PartitionCount, shards: Vec<String>) -> Self {
        let standing =
            |name| Standing { name, rows: 0, before_journal: 0, before_repair: 0, customers: HashSet::new() };
        Self {
            partitions: partitions.all().map(Events::new).collect(),
            sight: Sight::All,
            selection: Selection::default(),
            late: false,
            customers: Vec::new(),
            numbers: HashMap::new(),
            shards: shards.into_iter().map(standing).collect(),
            aside: Vec::new(),
            repaired: Repaired::default(),
        }
    }

    /// Says where what the journal still holds of a partition begins.
    pub fn begin(&mut self, partition: Partition, first: Position) {
        self.partitions[partition.index()].begin(first);
    }

    /// Notes a message's events, in order: whether each can become a row. No customer: the subject names none.
    ///
    /// # Panics
    /// Where a partition's positions do not grow, or the partition is not one of this journal.
    pub fn expect(&mut self, at: Position, customer: Option<&CustomerId>, events: impl IntoIterator<Item = bool>) {
        if !self.selects(customer) {
            return;
        }
        let number = customer.map_or(NOBODY, |customer| self.number(customer.as_str()));
        if let Some(customer) = self.customers.get_mut(number as usize) {
            customer.last = customer.last.max(Some(at));
        }
        let late = if self.late { Marks::LATE } else { Marks::default() };
        let is_elsewhere = self.is_elsewhere(number);
        // One whose home is not known yet may turn out to belong there.
        if is_elsewhere && self.home(number).is_some() && matches!(self.sight, Sight::Survey(_)) {
            return;
        }
        let given_twice = self.repaired.touches(at);
        for (index, can_become_a_row) in events.into_iter().enumerate() {
            let id = at.event(index);
            match &mut self.sight {
                Sight::Survey(survey) => {
                    if survey.expect(id, number, can_become_a_row, given_twice)
                        && let Some(customer) = self.customers.get_mut(number as usize)
                    {
                        customer.open += 1;
                    }
                }
                Sight::Closer(closer) if !closer.sees(id.get()) => closer.proven += u64::from(!is_elsewhere),
                _ => {
                    let marks = if can_become_a_row { late } else { late.and(Marks::REFUSED) };
                    self.partitions[at.partition().index()].push(id, number, marks);
                }
            }
        }
    }

    /// Notes that a message of a repair is a copy of the one at this position.
    pub fn copied(&mut self, original: Position) {
        let events = &mut self.partitions[original.partition().index()];
        for index in events.of_message(original) {
            let twice = events.marks(index).any(Marks::COPIED);
            events.mark(index, if twice { Marks::COPIED_TWICE } else { Marks::COPIED });
        }
    }

    /// Events that are noted from now on are not missed.
    pub fn from_here_late(&mut self) {
        self.late = true;
    }

    /// Whether rows were shown that no event noted so far explains.
    pub fn has_unexplained_rows(&self) -> bool {
        !self.aside.is_empty()
    }

    /// Every customer that has events and no home yet.
    pub fn homeless(&self) -> Vec<CustomerId> {
        let homeless = self.customers.iter().filter(|customer| customer.home.is_none() && customer.last.is_some());
        homeless.map(|customer| customer.name.parse().expect("events are only of customers")).collect()
    }

    /// The shard of that name.
    pub fn shard(&self, name: &str) -> Option<usize> {
        self.shards.iter().position(|standing| standing.name == name)
    }

    /// Says where a customer's rows belong.
    ///
    /// # Panics
    /// Where there is no such shard.
    pub fn house(&mut self, customer: &CustomerId, shard: usize) {
        assert!(shard < self.shards.len(), "a home is one of the ledger's shards");
        let number = self.number(customer.as_str());
        self.customers[number as usize].home = Some(u32::try_from(shard).expect("shards are few"));
    }

    /// Notes a dead letter; those of events that the ledger does not hold are of no interest to it.
    pub fn bury(&mut self, id: EventId) {
        self.bury_of(id, None);
    }

    /// [`Ledger::bury`], where it is known whose the event is.
    pub fn bury_of(&mut self, id: EventId, customer: Option<&str>) {
        let is_held = self.place(id.get()) != Place::BeforeJournal;
        if let Sight::Survey(survey) = &mut self.sight {
            if survey.bury(id) && is_held {
                let number = customer.and_then(|customer| self.numbers.get(customer));
                let open = match number {
                    Some(number) => &mut self.customers[*number as usize].open,
                    None => &mut survey.open,
                };
                *open = open.saturating_sub(1);
            }
            return;
        }
        if let Some((partition, index)) = self.event(id.get()) {
            self.partitions[partition].mark(index, Marks::DEAD);
        }
    }

    /// Notes a row that stands on a shard.
    pub fn row(&mut self, shard: usize, customer: &str, id: i64) {
        if self.selection.customer.as_ref().is_some_and(|selected| selected.as_str() != customer) {
            return;
        }
        let number = self.number(customer);
        let lost = self.is_lost(shard, id);
        let standing = &mut self.shards[shard];
        standing.rows += 1;
        standing.customers.insert(number);
        if lost {
            standing.before_repair += 1;
            return;
        }
        let row = Row { shard: u32::try_from(shard).expect("shards are few"), customer: number, id };
        let place = self.place(id);
        match &mut self.sight {
            _ if place == Place::BeforeJournal => self.shards[shard].before_journal += 1,
            Sight::Survey(survey) => {
                let at_home = self.customers[number as usize].home == Some(row.shard);
                survey.row(Entry { customer: number, id, at_home });
            }
            Sight::Closer(closer) if !closer.sees(id) => {}
            _ => {
                if !self.settle(row) {
                    self.aside.push(row);
                }
            }
        }
    }

    /// How far each shard has to have stored each partition, so that every customer's events are there.
    pub fn goals(&self) -> Vec<BTreeMap<Partition, Position>> {
        let mut goals = vec![BTreeMap::new(); self.shards.len()];
        for customer in &self.customers {
            if let (Some(home), Some(last)) = (customer.home.filter(|home| self.is_selected(*home)), customer.last) {
                let goal = goals[home as usize].entry(last.partition()).or_insert(last);
                *goal = last.max(*goal);
            }
        }
        goals
    }

    /// How many events can be no shard's, as nobody placed their customer (or they have none), and are not dead either.
    pub fn unaccounted(&self) -> u64 {
        if self.selection.shard.is_some() {
            return 0;
        }
        if let Sight::Survey(survey) = &self.sight {
            let homeless = self.customers.iter().filter(|customer| customer.home.is_none());
            return survey.open + homeless.map(|customer| customer.open).sum::<u64>();
        }
        let open = |(_, customer, marks): (i64, u32, Marks)| {
            self.home(customer).is_none() && !marks.any(Marks::DEAD.and(Marks::LATE).and(Marks::COPIED))
        };
        self.partitions.iter().map(|events| events.iter().filter(|event| open(*event)).count() as u64).sum()
    }

    /// Takes a row as its event's own: at home, under its customer, and the first such.
    pub(super) fn settle(&mut self, row: Row) -> bool {
        let Some((partition, index)) = self.event(row.id) else { return false };
        let events = &mut self.partitions[partition];
        let at_home = events.customer(index) == row.customer
            && self.customers[row.customer as usize].home == Some(row.shard)
            && !events.marks(index).any(Marks::ROW);
        if at_home {
            events.mark(index, Marks::ROW);
        }
        at_home
    }

    /// Whether a shard has stored this position for an event that the journal lost: it never reads what stands there now.
    pub(super) fn is_lost(&self, shard: usize, id: i64) -> bool {
        EventId::try_from(id).is_ok_and(|id| self.repaired.covers(shard, id.position()))
    }

    fn place(&self, id: i64) -> Place {
        let Ok(id) = EventId::try_from(id) else { return Place::Never };
        self.partitions.get(id.position().partition().index()).map_or(Place::Never, |events| events.find(id))
    }

    pub(super) fn event(&self, id: i64) -> Option<(usize, usize)> {
        let Place::Event(index) = self.place(id) else { return None };
        Some((EventId::try_from(id).ok()?.position().partition().index(), index))
    }

    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let name: Arc<str> = name.into();
        let number = u32::try_from(self.customers.len()).ok().filter(|number| *number != NOBODY);
        let number = number.expect("four thousand million customers do not fit any memory");
        self.customers.push(Customer { name: name.clone(), home: None, last: None, open: 0 });
        self.numbers.insert(name, number);
        number
    }

    pub(super) fn home(&self, customer: u32) -> Option<usize> {
        self.customers.get(customer as usize)?.home.map(|home| home as usize)
    }

    pub(super) fn name(&self, customer: u32) -> Option<String> {
        self.customers.get(customer as usize).map(|customer| customer.name.to_string())
    }
}
