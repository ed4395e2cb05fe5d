//! Fail points: places in the code at which a test lets a process die.
//!
//! A debug build of any of our programs that finds `SLUICE_FAIL_POINT=name=n` in its environment ends, at once and without a word
//! to anybody, when it comes to the point of that name for the n-th time. A release build has no such points: neither
//! the check nor the names are compiled.
//!
//! Ending is [`std::process::abort`]: no destructor runs and no buffer is written, as with `kill -9`, but exactly here.
//!
//! `simulated`, of debug builds too, is where the code that runs in a simulation meets it. The time of day and random numbers
//! that decide anything are taken from here, and limits that no simulation would reach as they are, so that it can give them.

#[cfg(debug_assertions)]
pub mod simulated;

use std::time::SystemTime;

#[cfg(debug_assertions)]
use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

/// The time of day.
pub fn system_time() -> SystemTime {
    #[cfg(debug_assertions)]
    if let Some(simulated) = simulated::system_time() {
        return simulated;
    }
    SystemTime::now()
}

/// A limit that is only there for speed or memory: `ordinary`, but in a simulation, which may make it so small that it is reached.
pub fn limit<N: Copy + TryFrom<u64> + TryInto<u64>>(name: &str, ordinary: N) -> N {
    #[cfg(debug_assertions)]
    if let Ok(number) = ordinary.try_into()
        && let Some(Ok(simulated)) = simulated::limit(name, number).map(N::try_from)
    {
        return simulated;
    }
    let _ = name;
    ordinary
}

/// A random number from 0 to 1: what `ordinary` gives, but in a simulation.
pub fn random_unit(ordinary: impl FnOnce() -> f64) -> f64 {
    #[cfg(debug_assertions)]
    if let Some(simulated) = simulated::random_unit() {
        return simulated;
    }
    ordinary()
}

/// The variable that names the point and the time.
pub const VARIABLE: &str = "SLUICE_FAIL_POINT";

/// Marks a point: `fail_point!("lane.commit.before")`.
#[macro_export]
macro_rules! fail_point {
    ($name:literal) => {
        #[cfg(debug_assertions)]
        $crate::reached($name);
    };
}

#[cfg(debug_assertions)]
struct Armed {
    name: String,
    left: AtomicU64,
}

#[cfg(debug_assertions)]
static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| std::env::var(VARIABLE).ok().map(|text| parse(&text)));

/// A variable that makes no sense would be a test that tests nothing.
#[cfg(debug_assertions)]
fn parse(text: &str) -> Armed {
    let armed = text.split_once('=').and_then(|(name, n)| {
        Some(Armed { name: name.to_owned(), left: n.parse().ok().filter(|n| *n > 0).map(AtomicU64::new)? })
    });
    armed.unwrap_or_else(|| panic!("{VARIABLE} has to be name=n with n of at least 1; it is {text:?}"))
}

/// What [`fail_point`] calls: ends the process where it is this point's turn.
#[cfg(debug_assertions)]
pub fn reached(name: &str) {
    if let Some(armed) = &*ARMED
        && armed.name == name
        && armed.left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        std::process::abort();
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[test]
    fn a_point_has_a_name_and_a_turn() {
        let armed = parse("lane.commit.before=3");
        assert_eq!((armed.name.as_str(), armed.left.into_inner()), ("lane.commit.before", 3));
        for bad in ["", "x", "x=", "x=0", "x=-1"] {
            assert!(std::panic::catch_unwind(|| parse(bad)).is_err(), "{bad}");
        }
        // Not armed: nothing happens.
        fail_point!("anywhere");
    }
}
