//! Who may ask the directory over HTTP, as its process is told.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use sluice_service::tokens::{Token, Tokens};

/// The tokens.
#[derive(Debug, Args)]
pub struct AccessArgs {
    /// The file with the token of those who may ask for routes and for the shards' passwords: writers and readers. At least 16 bytes.
    /// When the file changes, so does the token, within a second.
    #[arg(long, env = "DIRECTORY_READER_TOKEN_FILE", value_name = "PATH")]
    pub reader_token_file: Option<PathBuf>,
    /// Instead of the file, the token; better given by the environment than on a command line that others can list.
    #[arg(long, env = "DIRECTORY_READER_TOKEN", hide_env_values = true, conflicts_with = "reader_token_file")]
    pub reader_token: Option<SecretString>,
    /// The file with the token of those who may do everything: who register shards and place customers.
    #[arg(long, env = "DIRECTORY_ADMIN_TOKEN_FILE", value_name = "PATH")]
    pub admin_token_file: Option<PathBuf>,
    /// Instead of the file, the token.
    #[arg(long, env = "DIRECTORY_ADMIN_TOKEN", hide_env_values = true, conflicts_with = "admin_token_file")]
    pub admin_token: Option<SecretString>,
    /// Answer everybody without a token, the shards' passwords included. Only on an address of this machine alone (127.0.0.1).
    #[arg(long, env = "DIRECTORY_INSECURE")]
    pub insecure: bool,
}

impl AccessArgs {
    /// The tokens for somebody who listens there.
    ///
    /// # Errors
    /// Where there are none and everybody would be answered, or one is no token.
    pub fn tokens(&self, listen: SocketAddr) -> anyhow::Result<Tokens> {
        let reader = Token::either(self.reader_token.as_ref(), self.reader_token_file.as_deref());
        let reader = reader.context("--reader-token-file (DIRECTORY_READER_TOKEN)")?;
        let admin = Token::either(self.admin_token.as_ref(), self.admin_token_file.as_deref());
        let admin = admin.context("--admin-token-file (DIRECTORY_ADMIN_TOKEN)")?;
        match (&reader, &admin) {
            (None, None) => self.without(listen)?,
            (Some(_), None) => {
                bail!("there is a reader's token and no administrator's: name one with --admin-token-file")
            }
            (Some(reader), Some(admin)) => ensure!(
                reader.now().expose_secret() != admin.now().expose_secret(),
                "the reader's token and the administrator's are the same: every reader could change everything"
            ),
            (None, Some(_)) => {}
        }
        Ok(Tokens { reader, admin })
    }

    fn without(&self, listen: SocketAddr) -> anyhow::Result<()> {
        const HOW: &str = "Name two files with a token each: --reader-token-file and --admin-token-file (or \
                           DIRECTORY_READER_TOKEN and DIRECTORY_ADMIN_TOKEN); `openssl rand -hex 32` makes one";
        ensure!(
            listen.ip().is_loopback(),
            "{listen} can be reached from other machines, and the answers hold the shards' passwords: callers have to \
             prove who they are. {HOW}. Or listen on 127.0.0.1"
        );
        ensure!(
            self.insecure,
            "without tokens everybody on this machine could read the shards' passwords. {HOW}. Or, for a trial, add \
             --insecure"
        );
        tracing::warn!("everybody on this machine is answered without a token (--insecure)");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(reader: Option<&str>, admin: Option<&str>, insecure: bool, listen: &str) -> Result<Tokens, String> {
        let secret = |token: Option<&str>| token.map(SecretString::from);
        let args = AccessArgs {
            reader_token_file: None,
            reader_token: secret(reader),
            admin_token_file: None,
            admin_token: secret(admin),
            insecure,
        };
        args.tokens(listen.parse().unwrap()).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn without_tokens_it_starts_only_on_this_machine_and_only_where_that_is_wished() {
        let (here, everywhere) = ("127.0.0.1:1", "0.0.0.0:1");
        assert!(!tokens(None, None, true, here).unwrap().are_wanted());
        assert!(tokens(None, None, false, here).unwrap_err().contains("--insecure"));
        for insecure in [false, true] {
            let error = tokens(None, None, insecure, everywhere).unwrap_err();
            assert!(error.contains("--reader-token-file") && !error.contains("--insecure"), "{error}");
        }
        let (reader, admin) = (Some("reader-reader-reader"), Some("admin-admin-admin"));
        for listen in [here, everywhere] {
            assert!(tokens(reader, admin, false, listen).unwrap().are_wanted());
            assert!(tokens(None, admin, false, listen).unwrap().are_wanted());
        }
    }

    #[test]
    fn tokens_that_protect_nothing_are_refused_and_not_repeated() {
        let same = Some("same-same-same-same");
        for (reader, admin, said) in
            [(same, None, "no administrator's"), (same, same, "are the same"), (None, Some("short-token"), "16 bytes")]
        {
            let error = tokens(reader, admin, true, "127.0.0.1:1").unwrap_err();
            assert!(error.contains(said) && !error.contains("same-same") && !error.contains("short-token"), "{error}");
        }
    }
}
