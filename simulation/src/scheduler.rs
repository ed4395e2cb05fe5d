//! Who goes on next.
//!
//! Every operation of the outside waits here for its turn. When all tasks wait, which is when the paused clock goes on, the
//! seed chooses which of the waiting operations go on, in which order, and what becomes of them. What a seed chooses depends
//! on nothing else, as the waiting operations are sorted by who waits for what.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use sluice_failpoint::simulated::{Outcome, Simulation, Turn, Verdict};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use crate::{chance::Chance, history::History};

/// A moment of the simulation's time: the clock goes on by it only when nothing else can.
const MOMENT: Duration = Duration::from_millis(1);
/// The moment at which every simulation begins, after 1970.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);
/// The most operations that go on in one moment.
const AT_ONCE: u64 = 4;

/// How often something happens to an operation, in times of ten thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Odds {
    /// It is refused at once.
    pub refused: u64,
    /// It is lost.
    pub lost: u64,
    /// It takes place, and its answer is lost.
    pub answer_lost: u64,
    /// It takes place, and then the connection is cut.
    pub cut: u64,
    /// Its answer waits for another turn.
    pub slow: u64,
    /// It is held up for up to [`Odds::longest_ms`].
    pub held_up: u64,
    /// How long that may be.
    pub longest_ms: u64,
}

/// The scheduler of one simulation.
pub struct Scheduler {
    state: Mutex<State>,
    arrived: Notify,
    begun: Instant,
    /// What the limits depend on.
    limits: u64,
}

struct State {
    chance: Chance,
    waiting: Vec<Waiting>,
    order: u64,
    turns: u64,
    gone: BTreeSet<String>,
    frozen: BTreeMap<String, Instant>,
    odds: Odds,
    history: History,
}

struct Waiting {
    actor: String,
    what: String,
    order: u64,
    /// Decided when it is first seen.
    not_before: Option<Instant>,
    go_on: oneshot::Sender<Verdict>,
}

/// The process that an actor is a part of.
fn process_of(actor: &str) -> &str {
    actor.split(' ').next().unwrap_or(actor)
}

impl Scheduler {
    /// The scheduler of a seed. Made inside the simulation's runtime.
    pub fn new(mut chance: Chance) -> Arc<Self> {
        let limits = chance.draw();
        let state = State {
            chance,
            waiting: Vec::new(),
            order: 0,
            turns: 0,
            gone: BTreeSet::new(),
            frozen: BTreeMap::new(),
            odds: Odds::default(),
            history: History::default(),
        };
        Arc::new(Self { state: Mutex::new(state), arrived: Notify::new(), begun: Instant::now(), limits })
    }

    /// Lets operations go on, for ever.
    pub async fn run(self: Arc<Self>) {
        loop {
            match self.next_moment() {
                Some(until) => {
                    tokio::select! {
                        biased;
                        () = self.arrived.notified() => {}
                        () = tokio::time::sleep_until(until) => {}
                    }
                }
                None => self.arrived.notified().await,
            }
            // Whoever can go on without a turn does so before.
            tokio::time::sleep(MOMENT).await;
            self.go_on();
        }
    }

    /// When the first of the waiting operations may go on; `None` where none waits.
    fn next_moment(&self) -> Option<Instant> {
        let mut state = self.state();
        state.waiting.retain(|waiting| !waiting.go_on.is_closed());
        let now = Instant::now();
        let moments = state.waiting.iter().map(|waiting| {
            let thaws = state.frozen.get(process_of(&waiting.actor)).copied();
            waiting.not_before.unwrap_or(now).max(thaws.unwrap_or(now))
        });
        moments.min()
    }

    fn go_on(&self) {
        let mut state = self.state();
        let state = &mut *state;
        let now = Instant::now();
        state.frozen.retain(|_, until| *until > now);
        state.waiting.retain(|waiting| !waiting.go_on.is_closed());
        state.waiting.sort_by(|a, b| (&a.actor, &a.what, a.order).cmp(&(&b.actor, &b.what, b.order)));
        for waiting in &mut state.waiting {
            if waiting.not_before.is_none() {
                let held_up = state.odds.longest_ms > 0 && state.chance.of_ten_thousand(state.odds.held_up);
                let longest = if held_up { state.chance.magnitude(1, state.odds.longest_ms) } else { 0 };
                waiting.not_before = Some(now + Duration::from_millis(longest));
            }
        }
        for _ in 0..state.chance.between(1, AT_ONCE) {
            let ready = |waiting: &Waiting| {
                waiting.not_before.is_none_or(|not_before| not_before <= now)
                    && !state.frozen.contains_key(process_of(&waiting.actor))
            };
            let ready: Vec<usize> = (0..state.waiting.len()).filter(|at| ready(&state.waiting[*at])).collect();
            if ready.is_empty() {
                return;
            }
            let chosen = *state.chance.one_of(&ready);
            let waiting = state.waiting.remove(chosen);
            let verdict = state.verdict();
            state.turns += 1;
            // Whoever waited may have been dropped in this moment.
            let _ = waiting.go_on.send(verdict);
        }
    }

    /// A process is gone: none of its operations ever goes on again.
    pub fn kill(&self, process: &str) {
        let mut state = self.state();
        state.gone.insert(process.to_owned());
        // Whoever waits goes on waiting.
        state.waiting.retain(|waiting| process_of(&waiting.actor) != process);
    }

    /// A process goes on no earlier than then.
    pub fn freeze(&self, process: &str, until: Instant) {
        self.state().frozen.insert(process.to_owned(), until);
    }

    /// Every frozen process goes on.
    pub fn thaw(&self) {
        self.state().frozen.clear();
        self.arrived.notify_one();
    }

    /// From now on.
    pub fn set_odds(&self, odds: Odds) {
        self.state().odds = odds;
    }

    /// How much time has gone by in the simulation.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// How many operations have gone on.
    pub fn turns(&self) -> u64 {
        self.state().turns
    }

    /// Takes the history out.
    pub fn take_history(&self) -> History {
        std::mem::take(&mut self.state().history)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    fn verdict(&mut self) -> Verdict {
        let Odds { refused, lost, answer_lost, cut, slow, .. } = self.odds;
        let slow = self.chance.of_ten_thousand(slow);
        let mut drawn = self.chance.draw() % 10_000;
        let cases = [
            (refused, Outcome::Refused),
            (lost, Outcome::Lost),
            (answer_lost, Outcome::AnswerLost),
            (cut, Outcome::Cut),
        ];
        for (times, outcome) in cases {
            if drawn < times {
                return Verdict { outcome, slow };
            }
            drawn -= times;
        }
        Verdict { outcome: Outcome::Done, slow }
    }
}

impl Simulation for Scheduler {
    fn turn(&self, actor: &str, what: String) -> Turn {
        let mut state = self.state();
        if state.gone.contains(process_of(actor)) {
            return Box::pin(std::future::pending());
        }
        let (go_on, goes_on) = oneshot::channel();
        state.order += 1;
        let order = state.order;
        state.waiting.push(Waiting { actor: actor.to_owned(), what, order, not_before: None, go_on });
        self.arrived.notify_one();
        Box::pin(async move {
            match goes_on.await {
                Ok(verdict) => verdict,
                Err(_) => std::future::pending().await,
            }
        })
    }

    fn note(&self, actor: &str, what: &str) {
        let at = self.begun.elapsed();
        self.state().history.add(at, actor, what);
    }

    fn random(&self) -> u64 {
        self.state().chance.draw()
    }

    /// Half of the limits are as they are, and the others of any magnitude below.
    fn limit(&self, name: &str, ordinary: u64) -> u64 {
        let purpose = name.bytes().fold(7, |purpose: u64, byte| purpose.wrapping_mul(31) + u64::from(byte));
        let mut chance = Chance::new(self.limits, purpose);
        if chance.once_in(2) { ordinary } else { chance.magnitude(1, ordinary) }
    }

    fn since_epoch(&self) -> Duration {
        EPOCH + self.begun.elapsed()
    }
}
