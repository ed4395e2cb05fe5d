//! By what callers prove to a fleet's directory, over HTTP, who they are.

use rand::{RngExt, distr::Alphanumeric};
use secrecy::SecretString;

/// Made anew at each start.
#[derive(Debug, Clone)]
pub struct DirectoryTokens {
    /// Theirs who ask for routes.
    pub reader: SecretString,
    /// The administrator's.
    pub admin: SecretString,
}

impl DirectoryTokens {
    /// Some that nobody knows.
    pub fn random() -> Self {
        Self { reader: random_secret(), admin: random_secret() }
    }
}

/// 24 letters and digits, of which the first is a letter: nats-server takes what begins with a digit for a number.
pub(crate) fn random_secret() -> SecretString {
    let letters = rand::rng().sample_iter(Alphanumeric).take(24).map(char::from);
    std::iter::once('p').chain(letters).collect::<String>().into()
}
