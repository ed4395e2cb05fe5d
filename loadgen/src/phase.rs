//! One stretch of a run: how fast, how long, how much.

use std::{fmt, str::FromStr};

/// What a `--phase` says. What it leaves out of rate and concurrency, the flags of the same name say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Phase {
    /// Events per second (the open loop); `None` for as fast as the requests in flight allow (the closed loop).
    pub rate: Option<f64>,
    /// How long.
    pub seconds: Option<f64>,
    /// How many events.
    pub count: Option<u64>,
    /// How many requests are in flight at once.
    pub concurrency: Option<u32>,
}

/// The text is no phase; the message names the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPhase(String);

impl fmt::Display for InvalidPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidPhase {}

impl FromStr for Phase {
    type Err = InvalidPhase;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut phase = Self::default();
        let mut seen = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let wrong = |what: &str| InvalidPhase(format!("{key}: {what}, and not {value:?}"));
            if seen.contains(&key) {
                return Err(InvalidPhase(format!("{key}: it stands there twice")));
            }
            seen.push(key);
            match key {
                "rate" => phase.rate = Some(positive(value).map_err(|what| wrong(&what))?),
                "seconds" => phase.seconds = Some(positive(value).map_err(|what| wrong(&what))?),
                "count" => {
                    let count = value.parse().ok().filter(|count| *count > 0);
                    phase.count = Some(count.ok_or_else(|| wrong("a whole number from 1 is wanted"))?);
                }
                "concurrency" => {
                    let concurrency = value.parse().ok().filter(|n| (1..=100_000).contains(n));
                    phase.concurrency = Some(concurrency.ok_or_else(|| wrong("1 to 100000 is wanted"))?);
                }
                _ => {
                    let known = "rate, seconds, count and concurrency are known";
                    return Err(InvalidPhase(format!("{key:?} is no key of a phase: {known}")));
                }
            }
        }
        if phase.seconds.is_none() && phase.count.is_none() {
            return Err(InvalidPhase(
                "seconds or count: one of the two is needed, or the phase would never end".into(),
            ));
        }
        Ok(phase)
    }
}

/// A rate or a time from the command line: above 0, and at most a thousand million.
///
/// # Errors
/// Says what is wanted.
pub fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && *number <= 1e9);
    number.ok_or_else(|| "a number above 0, and at most 1000000000, is wanted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_read_from_its_keys_in_any_order() {
        let phase: Phase = "seconds=10, rate=0.5,concurrency=7".parse().unwrap();
        assert_eq!(phase, Phase { rate: Some(0.5), seconds: Some(10.0), count: None, concurrency: Some(7) });
        assert_eq!("count=3".parse::<Phase>().unwrap().count, Some(3));
    }

    #[test]
    fn an_error_names_the_bad_key() {
        let cases = [
            ("rate=fast,seconds=1", "rate: "),
            ("rate=NaN,seconds=1", "rate: "),
            ("seconds=-1", "seconds: "),
            ("count=0", "count: "),
            ("count=1,concurrency=100001", "concurrency: "),
            ("count=1,count=2", "count: "),
            ("speed=3,count=1", "\"speed\""),
            ("rate=3", "seconds or count"),
            ("", "\"\""),
        ];
        for (text, wanted) in cases {
            let error = text.parse::<Phase>().unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{text:?}: {error}");
        }
    }
}
