//! The decisions against a simulated partition: it loses its end, goes on, is repaired, the repair is killed anywhere, and shards are
//! restored to older copies of themselves.

use proptest::prelude::*;
use sluice_journal::repair::{Finished, Origin, Repairs};
use sluice_model::Partition;

use super::*;
use crate::journal_repair::survey::{Entry, Survey};

fn at(n: u64) -> Position {
    Position::new(n).unwrap()
}

/// A message: an event of a shard, or a filler.
#[derive(Debug, Clone, Copy)]
struct Message {
    stamp: i64,
    event: Option<(usize, usize)>,
    origin: Option<Origin>,
}

#[derive(Debug, Clone, Default)]
struct Shard {
    stored: u64,
    stamp: i64,
    /// Position and event.
    rows: Vec<(u64, usize)>,
}

/// A copy of the server's whole disk.
#[derive(Debug)]
struct Disk {
    clock: i64,
    first: u64,
    messages: Vec<Message>,
    record: RepairRecord,
}

/// One partition, its record, and shards 0, 1, ...
#[derive(Debug)]
struct World {
    first: u64,
    messages: Vec<Message>,
    clock: i64,
    events: usize,
    shards: Vec<Shard>,
    record: RepairRecord,
    copy: Option<Disk>,
    /// Of each shard, the older first: when it was taken, and what the shard was.
    copies: Vec<Vec<(i64, Shard)>>,
    /// A shard needs an older copy than there is.
    stuck: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Publish(usize),
    Read(usize, u64),
    /// All but so many messages (of 8 parts) are gone.
    Lose(usize),
    /// The server's whole disk is copied.
    Copy,
    /// The last copy is put back, if it is one of this history.
    PutBack,
    /// Another shard, which begins where all others have been.
    Register,
    /// A shard's database is copied.
    CopyShard(usize),
    /// One of its copies is put back. The newer ones are of another life of the shard then, and are given up.
    RestoreShard(usize, usize),
    /// A repair that is killed after so many of its steps, if it has that many.
    Repair(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..4).prop_map(Step::Publish),
        8 => (0usize..4, 1u64..6).prop_map(|(shard, n)| Step::Read(shard, n)),
        2 => (0usize..8).prop_map(Step::Lose),
        1 => Just(Step::Copy),
        1 => Just(Step::PutBack),
        1 => Just(Step::Register),
        3 => (0usize..4).prop_map(Step::CopyShard),
        2 => (0usize..4, 0usize..8).prop_map(|(shard, copy)| Step::RestoreShard(shard, copy)),
        2 => (0usize..20).prop_map(Step::Repair),
    ]
}

impl World {
    fn new() -> Self {
        let shards = vec![Shard::default(), Shard::default()];
        Self {
            first: 1,
            messages: Vec::new(),
            clock: 0,
            events: 0,
            shards,
            record: RepairRecord::default(),
            copy: None,
            copies: vec![Vec::new(); 4],
            stuck: false,
        }
    }

    fn last(&self) -> u64 {
        self.first - 1 + self.messages.len() as u64
    }

    fn message(&self, position: u64) -> Option<Message> {
        self.messages.get(usize::try_from(position.checked_sub(self.first)?).unwrap()).copied()
    }

    fn store(&mut self, event: Option<(usize, usize)>, origin: Option<Origin>) {
        self.clock += 1;
        self.messages.push(Message { stamp: self.clock, event, origin });
    }

    fn publish(&mut self, shard: usize) {
        self.events += 1;
        self.store(Some((self.events, shard % self.shards.len())), None);
    }

    fn lose(&mut self, eighths: usize) {
        let keep = self.messages.len() * eighths / 8;
        self.messages.truncate(keep);
        let last = self.last();
        self.copy.take_if(|disk| disk.first - 1 + disk.messages.len() as u64 > last);
    }

    fn copy(&mut self) {
        let (messages, record) = (self.messages.clone(), self.record.clone());
        self.copy = Some(Disk { clock: self.clock, first: self.first, messages, record });
    }

    /// The record goes back too: whoever has read only some of a repair's copies by then is not known any more.
    fn put_back(&mut self) {
        let end = self.record.finished().map(|(_, finished)| finished.end.get()).max().unwrap_or_default();
        if self.shards.iter().any(|shard| shard.stored < end) {
            return;
        }
        if let Some(disk) = self.copy.take() {
            (self.first, self.messages, self.record) = (disk.first, disk.messages, disk.record);
            self.copies.iter_mut().for_each(|copies| copies.retain(|(taken, _)| *taken <= disk.clock));
        }
    }

    fn copy_shard(&mut self, index: usize) {
        let index = index % self.shards.len();
        self.copies[index].push((self.clock, self.shards[index].clone()));
    }

    fn restore_shard(&mut self, index: usize, copy: usize) {
        let index = index % self.shards.len();
        let copies = &mut self.copies[index];
        // One that lacks what the journal no longer holds has to say so; that is not looked at here.
        copies.retain(|(_, shard)| shard.stored + 1 >= self.first);
        if !copies.is_empty() {
            copies.truncate(copy % copies.len() + 1);
            self.shards[index] = copies.last().unwrap().1.clone();
        }
    }

    fn repairs(&self) -> Repairs {
        let is_void = |finished: &Finished| {
            let there = self.message(finished.end.get());
            there.map_or(finished.end.get() >= self.first, |there| there.stamp != finished.stamp)
        };
        let ends = self.record.finished().map(|(_, finished)| finished);
        Repairs { record: self.record.clone(), void: ends.filter(is_void).collect() }
    }

    fn standing(&self, index: usize) -> Standing {
        let shard = &self.shards[index];
        let found = self.message(shard.stored).filter(|_| shard.stamp != 0);
        let compared = match found {
            Some(found) if found.stamp == shard.stamp => Standing::Sound,
            Some(found) => Standing::Replaced { found: found.stamp },
            None if shard.stored > self.last() => Standing::Beyond { last: at(self.last()) },
            None => Standing::Sound,
        };
        self.repairs().judge(compared, &index.to_string(), at(shard.stored), shard.stamp)
    }

    fn read(&mut self, index: usize, messages: u64) {
        let index = index % self.shards.len();
        if !self.standing(index).is_good() {
            return;
        }
        let Shard { stored, stamp, .. } = self.shards[index];
        let Ok(left_out) = self.repairs().left_out(&index.to_string(), at(stored), stamp) else { return };
        for _ in 0..messages {
            let next = self.shards[index].stored + 1;
            let Some(message) = self.message(next) else { return };
            let shard = &mut self.shards[index];
            let is_read = !left_out.iter().any(|range| range.covers(at(next)));
            let event = message.event.filter(|(_, home)| *home == index && is_read);
            shard.rows.extend(event.map(|(event, _)| (next, event)));
            (shard.stored, shard.stamp) = (next, message.stamp);
        }
    }

    fn seen(&self) -> Vec<Seen> {
        let seen = |(index, shard): (usize, &Shard)| {
            let standing = self.standing(index);
            let cut = self.messages.iter().take_while(|message| message.stamp <= shard.stamp).count() as u64;
            let cut = (standing.is_lost() && shard.stamp != 0).then(|| at(self.first - 1 + cut));
            let (name, stored) = (index.to_string(), at(shard.stored));
            let open = self.repairs().open(&name, stored);
            Seen { shard: name, stored, stamp: shard.stamp, standing, cut, open }
        };
        self.shards.iter().enumerate().map(seen).collect()
    }

    fn bounds(&self) -> Bounds {
        let messages = self.messages.len() as u64;
        Bounds { first: at(self.first), last: at(self.last()), messages, bytes: 0, max_bytes: None }
    }

    fn plan(&self) -> Plan {
        plan(&self.bounds(), &self.seen(), &self.record, self.messages.last().map(|message| message.stamp), 1_000)
    }

    /// True where it was not killed: `left` counts its steps. At each step publishers may be at work too.
    fn repair(&mut self, left: &mut usize, publishing: &mut impl FnMut() -> Option<usize>) -> bool {
        let mut alive = |world: &mut Self| {
            if let Some(shard) = publishing() {
                world.publish(shard);
            }
            *left = left.saturating_sub(1);
            *left > 0
        };
        let work = match self.plan() {
            Plan::Nothing => return true,
            Plan::Repair(work) => work,
            Plan::Refused(Refused::HalfCopied { shard, sound, .. }) => {
                self.give_older_copy(shard.parse().unwrap(), sound.get());
                return false;
            }
            Plan::Refused(refused) => panic!("{refused}: {self:?}"),
        };
        if !self.record.unfinished().is_some_and(|repair| repair.is_about(&work.lost, work.way)) {
            self.record.begin(work.lost.clone(), work.way);
        }
        if !alive(self) {
            return false;
        }
        let end = match work.way {
            Way::Jump { to, .. } => {
                // From here on its gate is shut.
                if self.first <= to.get() {
                    if !self.messages.is_empty() {
                        return false;
                    }
                    self.first = to.get() + 1;
                }
                if self.last() <= to.get() {
                    self.store(None, None);
                }
                let landing = self.landing(to);
                for index in 0..self.shards.len() {
                    let shard = &mut self.shards[index];
                    if work.way.is_followed_from(at(shard.stored)) && shard.stored < landing.0 {
                        (shard.stored, shard.stamp) = landing;
                    }
                    if !alive(self) {
                        return false;
                    }
                }
                at(landing.0)
            }
            Way::Fill => match self.fill_and_copy(&work, &mut alive) {
                Some(end) => end,
                None => return false,
            },
        };
        let stamp = self.message(end.get()).map_or(0, |message| message.stamp);
        self.record.finish(Finished { at: 0, end, stamp });
        true
    }

    /// What is asked of the administrator. The database as it was when it was registered will do, if the journal begins there still.
    fn give_older_copy(&mut self, index: usize, sound: u64) {
        let first = self.first;
        let copies = &mut self.copies[index];
        copies.retain(|(_, shard)| shard.stored <= sound && shard.stored + 1 >= first);
        self.shards[index] = copies.last().map(|(_, shard)| shard.clone()).unwrap_or_default();
        self.stuck = self.shards[index].stored + 1 < first;
    }

    fn landing(&self, to: Position) -> (u64, i64) {
        let filler = self.message(to.next().get()).filter(|message| message.event.is_none());
        filler.map_or((to.get(), 0), |filler| (to.next().get(), filler.stamp))
    }

    fn fill_and_copy(&mut self, work: &Work, alive: &mut impl FnMut(&mut Self) -> bool) -> Option<Position> {
        while self.last() < work.top.get() {
            self.store(None, None);
            if !alive(self) {
                return None;
            }
        }
        let mut survey = Survey::new(&work.lost);
        for position in self.first.max(work.cut.get() + 1)..=self.last() {
            let message = self.message(position).unwrap();
            let home = message.event.map(|(_, home)| home.to_string());
            let digest = message.event.map_or(0, |(event, _)| event as u64);
            let (stamp, origin, home) = (message.stamp, message.origin, home.as_deref());
            survey.note(&Entry { position: at(position), stamp, home, origin, digest });
        }
        let mut end = work.top;
        for candidate in survey.candidates().to_vec() {
            if candidate.copy.is_none() {
                let original = self.message(candidate.position.get()).unwrap();
                let origin = Origin { position: candidate.position, stamp: original.stamp };
                self.store(original.event, Some(origin));
                survey.copied(candidate.position, at(self.last()));
                if !alive(self) {
                    return None;
                }
            }
        }
        for candidate in survey.candidates() {
            end = end.max(candidate.copy.unwrap());
        }
        Some(end)
    }

    /// Reads everything everywhere; then each event has its row.
    fn check(&mut self) {
        for index in 0..self.shards.len() {
            assert!(self.standing(index).is_good(), "shard {index} is refused: {self:?}");
            self.read(index, u64::MAX);
            assert_eq!(self.shards[index].stored, self.last(), "shard {index} reads to the end: {self:?}");
        }
        let rows = || {
            self.shards.iter().enumerate().flat_map(|(index, shard)| shard.rows.iter().map(move |row| (index, *row)))
        };
        for message in self.messages.iter().filter(|message| message.origin.is_none()) {
            let Some((event, home)) = message.event else { continue };
            let found: Vec<_> = rows().filter(|(_, (_, of))| *of == event).map(|(shard, _)| shard).collect();
            assert_eq!(found, [home], "event {event}: {self:?}");
        }
        for shard in &self.shards {
            let mut rows = shard.rows.clone();
            rows.sort_unstable();
            assert!(rows.windows(2).all(|pair| pair[0].0 != pair[1].0), "a position was given twice: {self:?}");
            rows.sort_unstable_by_key(|(_, event)| *event);
            assert!(rows.windows(2).all(|pair| pair[0].1 != pair[1].1), "an event has two rows: {self:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Whatever is published, read, lost (again and again) and registered, whichever older copies of shards are put back, and wherever
    /// repairs are killed: one that ends leaves every event that the journal holds with exactly one row, and no position is given
    /// twice.
    #[test]
    fn after_a_repair_each_event_of_the_journal_has_one_row(
        steps in prop::collection::vec(step(), 1..60),
        publishing in prop::collection::vec(prop::option::weighted(0.3, 0usize..4), 64),
    ) {
        let mut world = World::new();
        let mut publishers = publishing.iter().copied().cycle();
        let mut publishing = move || publishers.next().flatten();
        for step in steps {
            if world.stuck {
                return Ok(());
            }
            match step {
                Step::Publish(shard) => world.publish(shard),
                Step::Read(shard, messages) => world.read(shard, messages),
                Step::Lose(eighths) => world.lose(eighths),
                Step::Copy => world.copy(),
                Step::PutBack => world.put_back(),
                Step::Register if world.shards.len() < 4 && world.seen().iter().all(|seen| seen.standing.is_good()) => {
                    let floor = world.shards.iter().map(|shard| shard.stored).min().unwrap().max(world.first - 1);
                    let stamp = world.message(floor).map_or(0, |message| message.stamp);
                    world.shards.push(Shard { stored: floor, stamp, rows: Vec::new() });
                }
                Step::Register => {}
                Step::CopyShard(shard) => world.copy_shard(shard),
                Step::RestoreShard(shard, copy) => world.restore_shard(shard, copy),
                Step::Repair(killed_after) => {
                    let mut left = killed_after;
                    // A repair that ends is followed by quiet: copies that are lost before they are read are lost.
                    if world.repair(&mut left, &mut publishing) && world.plan() == Plan::Nothing {
                        world.check();
                    }
                }
            }
        }
        while !world.stuck && world.plan() != Plan::Nothing {
            world.repair(&mut usize::MAX.clone(), &mut publishing);
        }
        if !world.stuck {
            world.check();
        }
    }
}

fn bounds(first: u64, last: u64) -> Bounds {
    Bounds { first: at(first), last: at(last), messages: last + 1 - first, bytes: 1_000, max_bytes: Some(10_000) }
}

fn beyond(stored: u64, cut: u64, last: u64) -> Seen {
    let standing = Standing::Beyond { last: at(last) };
    Seen { shard: "s".to_owned(), stored: at(stored), stamp: 500, standing, cut: Some(at(cut)), open: Vec::new() }
}

fn refused(bounds: &Bounds, seen: Seen, limit: u64) -> Refused {
    match plan(bounds, &[seen], &RepairRecord::default(), Some(400), limit) {
        Plan::Refused(refused) => refused,
        other => panic!("{other:?}"),
    }
}

#[test]
fn more_fillers_than_allowed_or_than_there_is_room_for_are_refused_with_the_numbers() {
    let limit = Refused::TooMany { needed: 90, limit: 89, last: at(10), top: at(100) };
    assert_eq!(refused(&bounds(1, 10), beyond(100, 10, 10), 89), limit);
    let text = limit.to_string();
    assert!(text.contains("--max-fillers 90") && text.contains("0/10 to 0/100"), "{text}");
    let room = refused(&bounds(1, 10), beyond(300, 10, 10), 1_000);
    assert_eq!(room, Refused::NoRoom { needed: 290 * FILLER_BYTES, free: 9_000 });
    let Plan::Repair(work) = plan(&bounds(1, 10), &[beyond(100, 10, 10)], &RepairRecord::default(), None, 90) else {
        panic!("90 are allowed")
    };
    assert_eq!((work.fillers, work.way, work.top, work.cut), (90, Way::Fill, at(100), at(10)));
}

#[test]
fn an_empty_partition_jumps_however_far_and_all_who_have_read_to_its_end_follow() {
    let empty = Bounds { messages: 0, ..bounds(11, 10) };
    let sound = |shard: &str, stored| Seen {
        shard: shard.to_owned(),
        standing: Standing::Sound,
        cut: None,
        ..beyond(stored, 0, 0)
    };
    let shards = [beyond(1 << 40, 10, 10), sound("level", 10), sound("lacks", 7)];
    let Plan::Repair(work) = plan(&empty, &shards, &RepairRecord::default(), None, 5) else { panic!() };
    let to = at(1 << 40);
    assert_eq!((work.way, work.fillers, work.top), (Way::Jump { from: at(11), to }, 0, to));
    let names: Vec<_> = work.lost.iter().map(|lost| lost.shard.as_str()).collect();
    assert_eq!(names, ["s"]);
    let following = shards.iter().filter(|seen| work.way.is_followed_from(seen.stored));
    assert!(
        following.map(|seen| seen.shard.as_str()).eq(["s", "level"]),
        "one that lacks what was trimmed has to say so"
    );
}

#[test]
fn a_message_older_than_the_one_that_was_stored_there_is_refused() {
    let replaced = Seen { standing: Standing::Replaced { found: 499 }, ..beyond(8, 5, 0) };
    assert!(matches!(refused(&bounds(1, 10), replaced, 9), Refused::Older { found: 499, .. }));
    let seen = Seen { standing: Standing::Replaced { found: 501 }, ..beyond(8, 8, 0) };
    assert!(matches!(refused(&bounds(1, 10), seen, 9), Refused::Older { .. }));
    let fine = Seen { standing: Standing::Replaced { found: 501 }, ..beyond(8, 7, 0) };
    assert!(matches!(plan(&bounds(1, 10), &[fine], &RepairRecord::default(), None, 0), Plan::Repair(_)));
    assert_eq!(at(1).partition(), Partition::new(0));
}

/// A shard that was registered at its position and has read nothing since.
fn unread(shard: &str, stored: u64) -> Seen {
    Seen { shard: shard.to_owned(), stamp: 0, standing: Standing::Sound, cut: None, ..beyond(stored, 0, 0) }
}

fn lost_of(plan: Plan) -> Vec<(String, Position)> {
    let Plan::Repair(work) = plan else { panic!("{plan:?}") };
    work.lost.into_iter().map(|lost| (lost.shard, lost.cut)).collect()
}

#[test]
fn a_shard_that_has_read_nothing_skips_what_the_others_skip_if_it_begins_within_that() {
    let shards = [beyond(100, 6, 10), unread("before", 5), unread("at", 6), unread("within", 7)];
    let lost = lost_of(plan(&bounds(1, 10), &shards, &RepairRecord::default(), None, 90));
    assert_eq!(lost, [("s".to_owned(), at(6)), ("within".to_owned(), at(6))]);
}

#[test]
fn a_shard_that_has_read_nothing_keeps_its_place_in_an_unfinished_repair() {
    let lost = Lost { shard: "within".to_owned(), cut: at(4), stored: at(7), stamp: 0 };
    let shards = [beyond(100, 6, 10), unread("within", 7)];
    let mut record = RepairRecord::default();
    record.begin(vec![lost], Way::Fill);
    let found = lost_of(plan(&bounds(1, 10), &shards, &record, None, 90));
    assert_eq!(found, [("s".to_owned(), at(6)), ("within".to_owned(), at(4))]);
}

#[test]
fn fillers_may_take_all_the_room_that_there_is_and_a_repair_that_lost_its_copies_is_done_again() {
    let exact = Bounds { max_bytes: Some(1_000 + 90 * FILLER_BYTES), ..bounds(1, 10) };
    assert_eq!(lost_of(plan(&exact, &[beyond(100, 10, 10)], &RepairRecord::default(), None, 90)).len(), 1);
    // A shard may have gone as far as an earlier repair says, and lose the journal's end again there.
    let open = Lost { shard: "s".to_owned(), cut: at(5), stored: at(100), stamp: 500 };
    let again = Seen { open: vec![open.clone()], ..beyond(100, 10, 10) };
    assert_eq!(lost_of(plan(&bounds(1, 10), &[again], &RepairRecord::default(), None, 90)).len(), 2);
    let beyond_it = Seen { open: vec![open], ..beyond(101, 10, 10) };
    assert!(matches!(refused(&bounds(1, 10), beyond_it, 91), Refused::HalfCopied { .. }));
    // Nothing has to be put forward where the journal ends as far on as anybody has read.
    let level = Lost { shard: "s".to_owned(), cut: at(5), stored: at(10), stamp: 500 };
    let seen = Seen { standing: Standing::Sound, open: vec![level], ..beyond(10, 10, 10) };
    let empty = Bounds { messages: 0, ..bounds(11, 10) };
    let Plan::Repair(work) = plan(&empty, &[seen], &RepairRecord::default(), None, 0) else { panic!() };
    assert_eq!((work.way, work.fillers), (Way::Fill, 0));
}
