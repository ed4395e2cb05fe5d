//! Who may write for whom.
//!
//! The file holds the tokens' digests, not the tokens: whoever reads it can write for nobody.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use sluice_model::CustomerId;
use sluice_service::{Problem, followed_file::FollowedFile, tokens};

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
pub struct Access(Option<FollowedFile<Scopes, AccessError>>);

/// What each token allows.
type Scopes = Arc<HashMap<Hash, Scope>>;

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
        path.map(|path| FollowedFile::open("tokens", path, read)).transpose().map(Self)
    }

    /// Looks whether the file has changed.
    pub fn look(&self) {
        if let Some(file) = &self.0 {
            file.now();
        }
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

fn read(path: &Path) -> Result<Scopes, AccessError> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|source| AccessError::Unreadable { path: path.to_owned(), source })?;
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
    if scopes.is_empty() {
        tracing::warn!(file = ?path, "the tokens' file names no token: every request is refused");
    }
    Ok(Arc::new(scopes))
}

fn hexadecimal(text: &str) -> Option<Hash> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if text.len() == 64 { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::header;
    use sluice_service::followed_file::LOOK_EVERY;

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
