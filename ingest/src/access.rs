//! Who may write for whom.
//!
//! The file holds the tokens' digests, not the tokens: whoever reads it can write for nobody.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use axum::http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use sluice_model::CustomerId;
use sluice_service::{Problem, tokens};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A SHA-256.
type Hash = [u8; 32];

/// What one caller may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    all: bool,
    customers: HashSet<CustomerId>,
}

impl Scope {
    /// For every customer.
    pub fn all() -> Self {
        Self { all: true, customers: HashSet::new() }
    }

    /// Whether that includes this customer.
    pub fn includes(&self, customer: &CustomerId) -> bool {
        self.all || self.customers.contains(customer)
    }

    /// [`Scope::includes`] as a result.
    ///
    /// # Errors
    /// 403.
    pub fn check(&self, customer: &CustomerId) -> Result<(), Problem> {
        if self.includes(customer) {
            return Ok(());
        }
        let detail = format!("this token may not write for customer {customer}");
        Err(Problem::new(StatusCode::FORBIDDEN, "not_this_customer", detail).at("header: Authorization"))
    }
}

/// Everybody who may write; without a file, everybody may.
#[derive(Debug, Default)]
pub struct Access(Option<File>);

#[derive(Debug)]
struct File {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    scopes: Arc<HashMap<Hash, Scope>>,
    modified: Option<SystemTime>,
    looked: Instant,
}

/// Why a file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// It cannot be read.
    #[error("cannot read the tokens' file {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A line of it says nothing that could be meant.
    #[error("{path}, line {line}: {what}; wanted: the SHA-256 of a token, a blank, and a customer or *")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

impl Access {
    /// As the file says.
    ///
    /// # Errors
    /// Where it cannot be read, or a line of it is wrong.
    pub fn in_file(path: Option<&Path>) -> Result<Self, AccessError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let (scopes, modified) = read(path)?;
        let known = Known { scopes: Arc::new(scopes), modified, looked: Instant::now() };
        Ok(Self(Some(File { path: path.to_owned(), known: Mutex::new(known) })))
    }

    /// What the caller may do.
    ///
    /// # Errors
    /// 401 without a token that is known.
    pub fn of(&self, headers: &HeaderMap) -> Result<Scope, Problem> {
        let Some(file) = &self.0 else { return Ok(Scope::all()) };
        let unauthorized =
            |code: &str, detail: &str| Problem::new(StatusCode::UNAUTHORIZED, code, detail).at("header: Authorization");
        let Some(presented) = tokens::presented(headers) else {
            return Err(unauthorized("no_token", "a token is wanted: Authorization: Bearer TOKEN"));
        };
        let hash: Hash = Sha256::digest(presented.as_bytes()).into();
        let known = file.now();
        known.get(&hash).cloned().ok_or_else(|| unauthorized("wrong_token", "this token is not, or no longer, valid"))
    }
}

impl File {
    /// What the file says now. One that cannot be used any more leaves what it said before in force, and the log says so.
    fn now(&self) -> Arc<HashMap<Hash, Scope>> {
        let mut known = self.known.lock().expect("no holder of this lock panics");
        if known.looked.elapsed() >= LOOK_EVERY {
            known.looked = Instant::now();
            let modified = fs::metadata(&self.path).and_then(|metadata| metadata.modified()).ok();
            if modified.is_none() || modified != known.modified {
                match read(&self.path) {
                    Ok((scopes, modified)) => {
                        (known.scopes, known.modified) = (Arc::new(scopes), modified);
                        tracing::info!(file = ?self.path, "the tokens were read anew");
                    }
                    Err(error) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "the former tokens stay in force");
                    }
                }
            }
        }
        Arc::clone(&known.scopes)
    }
}

fn read(path: &Path) -> Result<(HashMap<Hash, Scope>, Option<SystemTime>), AccessError> {
    let unreadable = |source| AccessError::Unreadable { path: path.to_owned(), source };
    // The time first: a file that changes in between is read once more.
    let modified = fs::metadata(path).map_err(unreadable)?.modified().ok();
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let mut scopes: HashMap<Hash, Scope> = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: String| AccessError::Line { path: path.to_owned(), line: number + 1, what };
        let (hash, customer) = line.split_once(char::is_whitespace).ok_or_else(|| wrong("one word".to_owned()))?;
        let hash = hexadecimal(hash).ok_or_else(|| wrong("the first word is no SHA-256".to_owned()))?;
        let scope = scopes.entry(hash).or_default();
        match customer.trim() {
            "*" => scope.all = true,
            customer => {
                _ = scope.customers.insert(customer.parse().map_err(|e| wrong(format!("{customer:?} is {e}")))?)
            }
        }
    }
    Ok((scopes, modified))
}

fn hexadecimal(text: &str) -> Option<Hash> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if text.len() == 64 { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    fn hash(token: &str) -> String {
        Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bearing(token: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())])
    }

    fn customer(name: &str) -> CustomerId {
        name.parse().unwrap()
    }

    #[test]
    fn a_token_of_one_customer_does_not_write_for_another_and_the_file_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let lines = format!("# ours\n{} 1\n{} 3\n\n{}  *\n", hash("one"), hash("one"), hash("any"));
        fs::write(&path, lines).unwrap();
        let access = Access::in_file(Some(&path)).unwrap();
        let one = access.of(&bearing("one")).unwrap();
        assert!(one.includes(&customer("1")) && one.includes(&customer("3")));
        assert_eq!(one.check(&customer("2")).unwrap_err().status, 403);
        assert!(access.of(&bearing("any")).unwrap().includes(&customer("2")));
        assert_eq!(access.of(&HeaderMap::new()).unwrap_err().code, "no_token");
        assert_eq!(access.of(&bearing("onex")).unwrap_err().code, "wrong_token");

        fs::write(&path, format!("{} 2\n", hash("one"))).unwrap();
        std::thread::sleep(LOOK_EVERY + Duration::from_millis(50));
        assert!(access.of(&bearing("one")).unwrap().includes(&customer("2")));
        assert!(access.of(&bearing("any")).is_err());
        fs::write(&path, "nonsense").unwrap();
        std::thread::sleep(LOOK_EVERY + Duration::from_millis(50));
        assert!(access.of(&bearing("one")).is_ok(), "what was said before holds");
    }

    #[test]
    fn a_wrong_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        for (line, said) in
            [("abc 1", "no SHA-256"), (&hash("a"), "one word"), (&format!("{} a.b", hash("a")), "not a customer id")]
        {
            fs::write(&path, format!("\n{line}\n")).unwrap();
            let told = Access::in_file(Some(&path)).unwrap_err().to_string();
            assert!(told.contains("line 2") && told.contains(said), "{told}");
        }
        assert!(Access::in_file(Some(&folder.path().join("none"))).is_err());
        assert!(Access::default().of(&HeaderMap::new()).unwrap().includes(&customer("1")));
    }
}
