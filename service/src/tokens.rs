//! Bearer tokens of an HTTP API: a caller proves by one who it is, and a service knows by it what it may do.

use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{Problem, followed_file::FollowedFile};

/// The fewest bytes of a token. Fewer could be found by trying.
const LEAST_BYTES: usize = 16;

/// Why a token cannot be used. It never holds the token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It is too easily found.
    #[error("a token has at least {LEAST_BYTES} bytes; `openssl rand -hex 32` makes a good one")]
    Short,
    /// It could not stand in a header.
    #[error("a token has only visible ASCII characters, and no spaces")]
    Unprintable,
    /// Its file cannot be read.
    #[error("cannot read the token's file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// A token, given as it is or in a file that may change.
#[derive(Debug)]
pub enum Token {
    /// One that stays as it is.
    Given(SecretString),
    /// One in a file.
    InFile(FollowedFile<SecretString, TokenError>),
}

impl Token {
    /// One that stays as it is.
    ///
    /// # Errors
    /// Where it is none.
    pub fn given(token: &SecretString) -> Result<Self, TokenError> {
        checked(token.expose_secret()).map(Self::Given)
    }

    /// One in a file; blanks and line ends around it do not belong to it. When the file changes, so does the token, within a second.
    ///
    /// # Errors
    /// Where the file cannot be read, or holds none.
    pub fn in_file(path: &Path) -> Result<Self, TokenError> {
        FollowedFile::open("tokens", path, read).map(Self::InFile)
    }

    /// Whichever of the two is there.
    ///
    /// # Errors
    /// As the two.
    pub fn either(given: Option<&SecretString>, file: Option<&Path>) -> Result<Option<Self>, TokenError> {
        match (given, file) {
            (_, Some(path)) => Self::in_file(path).map(Some),
            (Some(token), None) => Self::given(token).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The token as it is now. A file that cannot be read any more, or holds none, leaves the former one in force, and the log says so.
    pub fn now(&self) -> SecretString {
        match self {
            Self::Given(token) => token.clone(),
            Self::InFile(file) => file.now(),
        }
    }

    /// Compared by digests of one length, and in a time that says nothing of how much of it is right.
    fn is(&self, presented: &str) -> bool {
        let digest = |text: &str| Sha256::digest(text.as_bytes());
        digest(self.now().expose_secret()).as_slice().ct_eq(digest(presented).as_slice()).into()
    }
}

fn read(path: &Path) -> Result<SecretString, TokenError> {
    let text = std::fs::read_to_string(path).map_err(|source| TokenError::File { path: path.to_owned(), source })?;
    checked(SecretString::from(text).expose_secret().trim())
}

fn checked(token: &str) -> Result<SecretString, TokenError> {
    if token.len() < LEAST_BYTES {
        return Err(TokenError::Short);
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenError::Unprintable);
    }
    Ok(token.into())
}

/// What a caller may do. Whoever may do the later may do the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Ask.
    Reader,
    /// Ask and change.
    Admin,
}

/// By what callers prove who they are.
#[derive(Debug, Default)]
pub struct Tokens {
    /// Theirs who may only ask.
    pub reader: Option<Token>,
    /// Theirs who may do everything. Without either everybody may.
    pub admin: Option<Token>,
}

impl Tokens {
    /// Whether there are any.
    pub fn are_wanted(&self) -> bool {
        self.reader.is_some() || self.admin.is_some()
    }

    /// Looks whether the tokens' files have changed.
    pub fn look(&self) {
        [&self.reader, &self.admin].into_iter().flatten().for_each(|token| drop(token.now()));
    }

    /// Lets a request through that bears a token of that role.
    ///
    /// # Errors
    /// 401 without a token or with a wrong one, 403 where it is not enough.
    pub fn check(&self, headers: &HeaderMap, wanted: Role) -> Result<(), Problem> {
        if !self.are_wanted() {
            return Ok(());
        }
        let unauthorized = |code: &str, detail: &str| {
            Err(Problem::new(StatusCode::UNAUTHORIZED, code, detail).at("header: Authorization"))
        };
        let Some(presented) = presented(headers) else {
            return unauthorized("no_token", "a token is wanted: Authorization: Bearer TOKEN");
        };
        let is = |token: &Option<Token>| token.as_ref().is_some_and(|token| token.is(presented));
        let role = match (is(&self.admin), is(&self.reader)) {
            (true, _) => Role::Admin,
            (false, true) => Role::Reader,
            (false, false) => return unauthorized("wrong_token", "this token is not, or no longer, valid"),
        };
        if role < wanted {
            let detail = "this token is a reader's; an administrator's is wanted here";
            return Err(Problem::new(StatusCode::FORBIDDEN, "not_allowed", detail).at("header: Authorization"));
        }
        Ok(())
    }
}

/// The bearer token that a request bears.
pub fn presented(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::followed_file::LOOK_EVERY;

    const READER: &str = "reader-reader-reader";
    const ADMIN: &str = "admin-admin-admin-admin";

    fn token(text: &str) -> Option<Token> {
        Some(Token::given(&text.into()).unwrap())
    }

    fn check(tokens: &Tokens, authorization: &str, wanted: Role) -> u16 {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        tokens.check(&headers, wanted).map_or_else(|problem| problem.status, |()| 200)
    }

    #[test]
    fn each_role_is_known_by_its_own_token_and_nobody_without_one() {
        let tokens = Tokens { reader: token(READER), admin: token(ADMIN) };
        for (authorization, reading, changing) in [
            (String::new(), 401, 401),
            (READER.to_owned(), 401, 401),
            (format!("Basic {READER}"), 401, 401),
            (format!("Bearer {READER}x"), 401, 401),
            ("Bearer ".to_owned(), 401, 401),
            (format!("Bearer {READER}"), 200, 403),
            (format!("bearer  {ADMIN}"), 200, 200),
        ] {
            let statuses = [Role::Reader, Role::Admin].map(|wanted| check(&tokens, &authorization, wanted));
            assert_eq!(statuses, [reading, changing], "{authorization:?}");
        }
        assert_eq!(check(&Tokens::default(), "", Role::Admin), 200);
    }

    #[test]
    fn what_is_too_short_or_no_header_is_no_token_and_is_not_repeated() {
        for (text, said) in [("hunter2", "16 bytes"), ("hunter2 hunter2 hunter2", "visible")] {
            let error = Token::given(&text.into()).unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(told.contains(said) || error.to_string().contains(said), "{told}");
            assert!(!told.contains("hunter2"));
        }
        assert!(!format!("{:?}", token(READER)).contains(READER));
    }

    #[test]
    fn a_files_token_follows_the_file_and_stays_where_that_becomes_none() {
        let path = std::env::temp_dir().join(format!("sluice-token-{}", std::process::id()));
        std::fs::write(&path, format!("{READER}\n")).unwrap();
        let token = Token::in_file(&path).unwrap();
        assert_eq!(token.now().expose_secret(), READER);
        for (text, then) in [(ADMIN, ADMIN), ("short", ADMIN), (READER, READER)] {
            std::fs::write(&path, text).unwrap();
            std::thread::sleep(LOOK_EVERY + std::time::Duration::from_millis(50));
            assert_eq!(token.now().expose_secret(), then);
        }
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Token::in_file(&path), Err(TokenError::File { .. })));
    }
}
