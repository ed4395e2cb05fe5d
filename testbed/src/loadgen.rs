//! Runs `loadgen` as a process of its own, and reads its report.

use anyhow::Context;
use secrecy::ExposeSecret;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::process::Command;

use crate::{fleet::Fleet, nats_users::NatsUser, tool};

/// How long a request of a fleet's load may take, in milliseconds. Lower: where the disk of a test's machine stands still for
/// seconds, events that are stored count as failed. Higher: where NATS is gone for good, a test hears so late.
pub const PATIENCE_MS: &str = "30000";

/// What `loadgen run` reports.
#[derive(Debug, Clone, Deserialize)]
pub struct Load {
    /// Events that are stored.
    pub accepted: u64,
    /// Events that are not, or of which nobody knows.
    pub failed: u64,
    /// How long it took.
    pub seconds: f64,
    /// Accepted events per second.
    pub rate: f64,
}

/// What `loadgen verify` reports.
#[derive(Debug, Clone, Deserialize)]
pub struct Verified {
    /// Whether everything is where it belongs, once.
    pub ok: bool,
    /// How many events were dead-lettered.
    pub dead_letters: u64,
    /// Shard by shard.
    pub shards: Vec<VerifiedShard>,
    /// The first wrong events and rows of each kind.
    pub wrong: Vec<Wrong>,
    /// What the journal no longer has, and somebody has accepted as lost.
    #[serde(default)]
    pub losses: Vec<serde_json::Value>,
    /// What shards lack and the journal no longer has, and nobody has accepted.
    #[serde(default)]
    pub lacking: Vec<serde_json::Value>,
}

/// An event or row that is not as it should be.
#[derive(Debug, Clone, Deserialize)]
pub struct Wrong {
    /// `missing`, `doubled`, `misplaced` or `not_dead_lettered`.
    pub kind: String,
    /// Where it is, or should be.
    pub shard: Option<String>,
    /// Its id.
    pub id: String,
}

/// One shard of it.
#[derive(Debug, Clone, Deserialize)]
pub struct VerifiedShard {
    /// Its name.
    pub shard: String,
    /// Its rows.
    pub rows: u64,
    /// Of how many customers.
    pub customers: u64,
    /// Events of the journal that have no row there.
    pub missing: u64,
    /// Rows that no event of the journal explains.
    pub doubled: u64,
    /// Rows of customers that belong elsewhere.
    pub misplaced: u64,
    /// Rows whose events the journal lost, as a repair has noted.
    pub before_repair: u64,
}

impl Fleet {
    /// `loadgen run` with further arguments, such as `--via http --count 3000`.
    ///
    /// # Errors
    /// Where it cannot say how it went. Failed requests are no error here: they are in the report.
    pub async fn load(&self, args: &[&str]) -> anyhow::Result<Load> {
        let ingest = self.ingest_url();
        let ours = ["run", "--json", "--timeout-ms", PATIENCE_MS, "--url", &ingest];
        self.report(NatsUser::Publisher, &[&ours, args].concat(), &[]).await
    }

    /// `loadgen verify`: waits until the journal is drained, and checks every row.
    ///
    /// # Errors
    /// Where it cannot say what is so. A wrong row is no error here: it is in the report.
    pub async fn verify(&self) -> anyhow::Result<Verified> {
        self.verify_by(&[]).await
    }

    /// [`Fleet::verify`] with other settings, such as another way to ask for routes.
    ///
    /// # Errors
    /// As there.
    pub async fn verify_by(&self, env: &[(&'static str, String)]) -> anyhow::Result<Verified> {
        self.report(NatsUser::Operator, &["verify", "--json"], env).await
    }

    /// Any command of loadgen as this user; all of its report.
    ///
    /// # Errors
    /// Where it cannot say how it went.
    pub async fn loadgen(&self, user: NatsUser, args: &[&str]) -> anyhow::Result<serde_json::Value> {
        self.report(user, args, &[]).await
    }

    async fn report<T: DeserializeOwned>(
        &self,
        user: NatsUser,
        args: &[&str],
        env: &[(&'static str, String)],
    ) -> anyhow::Result<T> {
        let mut command = Command::new(self.program("loadgen"));
        command.args(args).env("RUST_LOG", "warn");
        self.login(user).give_to(&mut command);
        command.env("SHARDING_MODE", "nats").env("JOURNAL_PARTITIONS", self.partitions().to_string());
        command.env("JOURNAL_REPLICAS", self.replicas().to_string());
        command.env("SHARDING_TOKEN", self.tokens().reader.expose_secret());
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let done = tool::output(&mut command).await?;
        // 1 says that something is wrong, and the report says what; anything above, that there is no report.
        let told = matches!(done.status.code(), Some(0 | 1));
        anyhow::ensure!(told, "loadgen {} ended with {}: {}", args.join(" "), done.status, done.stdout);
        serde_json::from_str(&done.stdout)
            .with_context(|| format!("loadgen's report is unknown to us: {}", done.stdout))
    }
}
