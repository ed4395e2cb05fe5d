//! The users of a fleet's NATS, as `compose/accounts.conf` has them: the testbed uses that very file, with passwords of its own.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context;
use async_nats::ConnectOptions;
use secrecy::{ExposeSecret, SecretString};
use sluice_journal::subject;
use sluice_model::PartitionCount;
use sluice_service::nats;

use crate::tokens::random_secret;

/// Who may do what. It names the file below for the account mapping, which depends on the number of partitions.
const ACCOUNTS: &str = include_str!("../../compose/accounts.conf");
const ACCOUNTS_FILE: &str = "accounts.conf";
const MAPPING_FILE: &str = "mapping.conf";

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NatsUser {
    /// Stores persons.
    Ingest,
    /// Reads and trims the journal.
    Writer,
    /// Answers where customers' rows belong.
    Directory,
    /// The administrator's commands, and the tests themselves.
    Operator,
    /// Whoever publishes persons from outside.
    Publisher,
}

impl NatsUser {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Ingest, Self::Writer, Self::Directory, Self::Operator, Self::Publisher];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Writer => "writer",
            Self::Directory => "directory",
            Self::Operator => "operator",
            Self::Publisher => "publisher",
        }
    }

    /// Where the configuration looks for its password.
    fn variable(self) -> &'static str {
        match self {
            Self::Ingest => "NATS_INGEST_PASSWORD",
            Self::Writer => "NATS_WRITER_PASSWORD",
            Self::Directory => "NATS_DIRECTORY_PASSWORD",
            Self::Operator => "NATS_OPERATOR_PASSWORD",
            Self::Publisher => "NATS_PUBLISHER_PASSWORD",
        }
    }
}

/// All users with their passwords.
#[derive(Debug, Clone)]
pub struct NatsUsers(BTreeMap<NatsUser, SecretString>);

/// Where NATS is, and who one is there.
#[derive(Debug, Clone)]
pub struct Login {
    /// All servers, with commas between them.
    pub urls: String,
    /// The user's name.
    pub user: &'static str,
    /// Its password.
    pub password: SecretString,
}

impl NatsUsers {
    /// With passwords that nobody knows.
    pub fn random() -> Self {
        Self(NatsUser::ALL.into_iter().map(|user| (user, random_secret())).collect())
    }

    /// One of them, at these servers.
    pub fn login(&self, user: NatsUser, urls: String) -> Login {
        Login { urls, user: user.name(), password: self.0[&user].clone() }
    }

    /// What nats-server needs in its environment.
    pub(crate) fn environment(&self) -> Vec<(&'static str, SecretString)> {
        self.0.iter().map(|(user, password)| (user.variable(), password.clone())).collect()
    }

    /// Writes the files into a server's folder; gives the line of its configuration that includes them.
    pub(crate) fn write(folder: &Path, partitions: PartitionCount) -> anyhow::Result<String> {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        write(ACCOUNTS_FILE, ACCOUNTS)?;
        write(MAPPING_FILE, &format!("{}\n", subject::mapping(partitions)))?;
        Ok(format!("include \"{ACCOUNTS_FILE}\"\n"))
    }
}

impl Login {
    /// What a program of ours needs in its environment.
    pub fn environment(&self) -> Vec<(&'static str, SecretString)> {
        vec![
            ("NATS_URL", self.urls.clone().into()),
            ("NATS_USER", self.user.into()),
            ("NATS_PASSWORD", self.password.clone()),
        ]
    }

    /// The same for a command that is run to its end.
    pub fn give_to(&self, command: &mut tokio::process::Command) {
        command.envs(self.environment().iter().map(|(name, value)| (name, value.expose_secret())));
    }

    /// Connects to whichever server answers first.
    ///
    /// # Errors
    /// Where none does, or it refuses the user.
    pub async fn connect(&self, options: ConnectOptions) -> anyhow::Result<async_nats::Client> {
        let urls: Vec<_> = self.urls.split(',').collect();
        let options = nats::as_user(options, self.user, &self.password);
        options.connect(urls.as_slice()).await.context("no NATS server of the fleet lets us in")
    }
}
