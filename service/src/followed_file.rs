//! A file that may change while a process runs: what it says is taken up within a second.
//!
//! A file that is wrong when the process starts is an error then. One that becomes wrong later
//! leaves what it said before in force, and the log says so at once, whether or not anyone asks.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant, SystemTime},
};

use tokio_util::sync::CancellationToken;

use crate::{output, said::Said, shutdown::cancelled_within};

/// How often a file is looked at. More often: for nothing. Less often: a change takes longer to hold.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A file, and what it said when it was last right.
pub struct FollowedFile<T, E> {
    what: &'static str,
    path: PathBuf,
    read: fn(&Path) -> Result<T, E>,
    known: Mutex<Known<T>>,
    trouble: Said,
}

struct Known<T> {
    value: T,
    /// `None` where the file is to be read at the next look, changed or not.
    modified: Option<SystemTime>,
    looked: Instant,
}

impl<T: Clone, E: Error + Send + Sync + 'static> FollowedFile<T, E> {
    /// Reads the file. `what` names it in the log, such as "tokens".
    ///
    /// # Errors
    /// Where the file cannot be read, or is wrong.
    pub fn open(what: &'static str, path: &Path, read: fn(&Path) -> Result<T, E>) -> Result<Self, E> {
        // The time first: a file that changes in between is read once more.
        let modified = modified(path);
        let known = Known { value: read(path)?, modified, looked: Instant::now() };
        Ok(Self { what, path: path.to_owned(), read, known: Mutex::new(known), trouble: Said::default() })
    }

    /// What the file says, as of a second ago at most.
    pub fn now(&self) -> T {
        let mut known = self.known();
        if known.looked.elapsed() >= LOOK_EVERY {
            known.looked = Instant::now();
            self.look(&mut known);
        }
        known.value.clone()
    }

    fn look(&self, known: &mut Known<T>) {
        let modified = modified(&self.path);
        if modified.is_some() && modified == known.modified {
            return;
        }
        let what = self.what;
        match (self.read)(&self.path) {
            Ok(value) => {
                (known.value, known.modified) = (value, modified);
                self.trouble.clear();
                tracing::info!(file = ?self.path, "the {what} were read anew");
            }
            Err(error) => {
                // A file that is mended need not get another time: its rights may have been wrong.
                known.modified = None;
                let error = output::one_line(&error.into());
                if self.trouble.is_due(&error) {
                    tracing::error!(file = ?self.path, error, "the former {what} stay in force");
                }
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known<T>> {
        self.known.lock().expect("no holder of this lock panics")
    }
}

impl<T, E> fmt::Debug for FollowedFile<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What the file says may be a secret.
        f.debug_struct("FollowedFile").field("path", &self.path).finish_non_exhaustive()
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Calls `look` every second until `stop`: so a file that becomes wrong is told of when it does.
pub async fn follow(look: impl Fn(), stop: CancellationToken) {
    while !cancelled_within(&stop, LOOK_EVERY).await {
        look();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no number")]
    struct NoNumber;

    fn number(path: &Path) -> Result<u32, NoNumber> {
        std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).ok_or(NoNumber)
    }

    #[test]
    fn a_file_that_becomes_wrong_leaves_the_former_value_until_it_is_mended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        assert!(FollowedFile::open("numbers", &path, number).is_err());
        std::fs::write(&path, "1").unwrap();
        let file = FollowedFile::open("numbers", &path, number).unwrap();
        let after = |change: &dyn Fn()| {
            change();
            file.known().looked -= LOOK_EVERY;
            file.now()
        };
        // As if the file's time had not changed: what counts then is that it was wrong before.
        let keep_time = |text: &str| {
            let time = modified(&path).unwrap_or(SystemTime::UNIX_EPOCH);
            std::fs::write(&path, text).unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        };
        assert_eq!(after(&|| keep_time("9")), 1, "a file with the same time is not read");
        assert_eq!(after(&|| std::fs::remove_file(&path).unwrap()), 1);
        assert_eq!(after(&|| std::fs::write(&path, "x").unwrap()), 1);
        assert_eq!(after(&|| keep_time("2")), 2);
        assert_eq!(after(&|| ()), 2);
    }
}
