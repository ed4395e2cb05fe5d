//! What runs on this thread is a simulation, or is not.
//!
//! The in-memory journal, directory and shards of a debug build wait for their [`turn`] before each operation. A simulation
//! decides when that comes, and what becomes of the operation. It belongs to one thread, as its runtime does. Without one every
//! turn comes at once.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It takes place, and its answer comes.
    Done,
    /// It does not take place, and the caller hears so at once.
    Refused,
    /// It does not take place, and the caller hears nothing.
    Lost,
    /// It takes place, and the caller hears nothing.
    AnswerLost,
    /// It takes place, and the caller hears that the connection is gone.
    Cut,
}

/// What a simulation says about an operation whose turn has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of it.
    pub outcome: Outcome,
    /// Whether its answer waits for a turn of its own.
    pub slow: bool,
}

/// A turn that has not come yet.
pub type Turn = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// What a simulation does for the code that runs in it.
pub trait Simulation: Send + Sync {
    /// Gives an operation its turn. `actor` says who does it and where, and is the same in each run of the same seed.
    fn turn(&self, actor: &str, what: String) -> Turn;
    /// Notes in the history what an operation came to.
    fn note(&self, actor: &str, what: &str);
    /// The next number of the seed's sequence.
    fn random(&self) -> u64;
    /// What a limit of that name is in this simulation: at most what it is otherwise.
    fn limit(&self, name: &str, ordinary: u64) -> u64;
    /// The time since 1970.
    fn since_epoch(&self) -> Duration;
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<dyn Simulation>>> = const { RefCell::new(None) };
}

/// From now on this thread runs that simulation, or none.
pub fn install(simulation: Option<Arc<dyn Simulation>>) {
    CURRENT.set(simulation);
}

/// The simulation of this thread.
pub fn current() -> Option<Arc<dyn Simulation>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Waits for an operation's turn. `what` is only called where there is a simulation.
pub async fn turn(actor: &str, what: impl FnOnce() -> String) -> Verdict {
    match current() {
        Some(simulation) => {
            let turn = simulation.turn(actor, what());
            turn.await
        }
        None => Verdict { outcome: Outcome::Done, slow: false },
    }
}

/// Notes what an operation came to.
pub fn note(actor: &str, what: impl FnOnce() -> String) {
    if let Some(simulation) = current() {
        simulation.note(actor, &what());
    }
}

/// The simulated time of day.
pub(crate) fn system_time() -> Option<SystemTime> {
    current().map(|simulation| SystemTime::UNIX_EPOCH + simulation.since_epoch())
}

/// The simulated limit.
pub(crate) fn limit(name: &str, ordinary: u64) -> Option<u64> {
    current().map(|simulation| simulation.limit(name, ordinary))
}

/// A simulated random number from 0 to 1.
pub(crate) fn random_unit() -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    current().map(|simulation| (simulation.random() >> 11) as f64 / ((1_u64 << 53) - 1) as f64)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Mutex,
        task::{Context, Poll, Waker},
    };

    use super::*;

    #[derive(Default)]
    struct Noted(Mutex<Vec<String>>);

    impl Simulation for Noted {
        fn turn(&self, actor: &str, what: String) -> Turn {
            self.note(actor, &what);
            Box::pin(std::future::ready(Verdict { outcome: Outcome::Lost, slow: true }))
        }
        fn note(&self, actor: &str, what: &str) {
            self.0.lock().unwrap().push(format!("{actor} {what}"));
        }
        fn random(&self) -> u64 {
            u64::MAX
        }
        fn limit(&self, name: &str, ordinary: u64) -> u64 {
            ordinary - name.len() as u64
        }
        fn since_epoch(&self) -> Duration {
            Duration::from_secs(7)
        }
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn turns_time_and_chance_are_the_simulations_where_there_is_one() {
        assert_eq!(now(turn("a", || unreachable!())), Verdict { outcome: Outcome::Done, slow: false });
        assert_eq!((random_unit(), system_time()), (None, None));
        let noted = Arc::new(Noted::default());
        install(Some(noted.clone()));
        assert_eq!(now(turn("a", || "reads".to_owned())).outcome, Outcome::Lost);
        note("b", || "writes".to_owned());
        assert_eq!((crate::random_unit(|| 0.0), crate::limit("four", 10_u64)), (1.0, 6));
        assert_eq!(crate::system_time(), SystemTime::UNIX_EPOCH + Duration::from_secs(7));
        install(None);
        assert_eq!(*noted.0.lock().unwrap(), ["a reads", "b writes"]);
        assert_eq!((crate::random_unit(|| 0.5), crate::limit("four", 10_usize)), (0.5, 10));
    }
}
