//! The connections that a command needs: there soon, or the command says so and ends.

use std::time::Duration;

use anyhow::Context;
use sluice_directory::{Client, DirectoryArgs};
use sluice_journal::{
    DeadLetter, DeadLetters, Journal, Settings,
    subject::{DEAD_STREAM, stream_info},
};
use sluice_service::{
    nats::{self, refused},
    telemetry::{self, LogFormat, TelemetryArgs},
};

use super::cli::ReachArgs;

/// How long a server may take to answer at first.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long listing may take: 256 MiB of dead letters at most.
const LIST_LIMIT: Duration = Duration::from_secs(60);

/// The opened journal and its dead letters.
pub struct Reach {
    /// The journal.
    pub journal: Journal,
    /// Its dead letters.
    pub dead: DeadLetters,
}

impl Reach {
    /// Connects to a journal that exists: a command that meets the wrong server must not make one there.
    ///
    /// # Errors
    /// Where there is no server or no journal: with what to do.
    pub async fn open(args: &ReachArgs) -> anyhow::Result<Self> {
        telemetry::init(&TelemetryArgs { log_format: LogFormat::Text, log: args.log.clone() })?;
        let urls = args.nats.nats_url.join(", ");
        let client = nats::connect(&args.nats, "writer command").await.context("--nats-url (NATS_URL)")?;
        let answered = tokio::time::timeout(PATIENCE, client.flush()).await;
        answered.map_err(|_| {
            let seconds = PATIENCE.as_secs();
            anyhow::anyhow!(
                "no NATS server lets us in at {urls} within {seconds} s; name another with --nats-url (NATS_URL), or \
                 another user (NATS_USER, NATS_PASSWORD)"
            )
        })??;
        let jetstream = async_nats::jetstream::new(client.clone());
        let asked = refused::unless(&stream_info(DEAD_STREAM), jetstream.get_stream(DEAD_STREAM)).await;
        asked.context("look for the journal")?.with_context(|| {
            format!("there is no journal at {urls}; name another server with --nats-url (NATS_URL)")
        })?;
        let opened = Journal::open_within(client, &Settings::default(), PATIENCE).await;
        let journal = opened.context("open the journal")?;
        Ok(Self { dead: journal.dead_letters(), journal })
    }

    /// Every dead letter and tombstone.
    ///
    /// # Errors
    /// Where JetStream does not give them in time.
    pub async fn list(&self) -> anyhow::Result<Vec<DeadLetter>> {
        let letters = tokio::time::timeout(LIST_LIMIT, self.dead.list()).await;
        Ok(letters.context("listing the dead letters takes too long; try again when NATS has less to do")??)
    }

    /// The directory, asked the way that the arguments say.
    ///
    /// # Errors
    /// Where they say none.
    pub fn directory(&self, args: &DirectoryArgs) -> anyhow::Result<Client> {
        Client::from_args(args, self.journal.client())
    }
}
