//! The directory's administration over HTTP, as somebody without our crates would use it.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context;
use reqwest::{Client, Method, Response};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::databases::FleetShard;

/// How long an answer may take: registering makes tables in a database that may be busy.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A directory's administrator.
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
    url: String,
    token: SecretString,
}

impl Admin {
    /// Of the directory at that URL, with the administrator's token there.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(url: &str, token: &SecretString) -> anyhow::Result<Self> {
        // A proxy of the environment cannot reach our loopback.
        let client = Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        Ok(Self { client, url: url.to_owned(), token: token.clone() })
    }

    /// Registers the shards that are not yet.
    ///
    /// # Errors
    /// Where the directory refuses one, or does not answer.
    pub async fn register(&self, shards: &[FleetShard]) -> anyhow::Result<()> {
        let known = self.shard_names().await?;
        for shard in shards.iter().filter(|shard| !known.contains(&shard.name)) {
            let address = &shard.address;
            let body = json!({
                "name": shard.name,
                "flavor": address.flavor,
                "host": address.host,
                "port": address.port,
                "user": address.user,
                "password": address.password.expose_secret(),
                "database": address.database,
            });
            let registered = self.ask(Method::POST, "/shards", Some(&body)).await;
            registered.with_context(|| format!("{} ({address}) was not registered", shard.name))?;
        }
        Ok(())
    }

    /// Changes a shard, such as `{"state": "closed"}`.
    ///
    /// # Errors
    /// Where the directory refuses that, or does not answer.
    pub async fn change(&self, shard: &str, change: &Value) -> anyhow::Result<()> {
        self.ask(Method::PATCH, &format!("/shards/{shard}"), Some(change)).await.map(drop)
    }

    /// Takes a shard out.
    ///
    /// # Errors
    /// Where the directory refuses that, or does not answer.
    pub async fn remove(&self, shard: &str) -> anyhow::Result<()> {
        self.ask(Method::DELETE, &format!("/shards/{shard}"), None).await.map(drop)
    }

    /// Every shard, as the list has it.
    ///
    /// # Errors
    /// Where the directory does not answer.
    pub async fn shards(&self) -> anyhow::Result<Vec<Value>> {
        let answer: Value = self.ask(Method::GET, "/shards", None).await?.json().await?;
        answer["shards"].as_array().cloned().context("the answer to GET /shards has no list of shards")
    }

    /// The names of all registered shards.
    ///
    /// # Errors
    /// Where the directory does not answer.
    pub async fn shard_names(&self) -> anyhow::Result<BTreeSet<String>> {
        Ok(self.shards().await?.iter().filter_map(|shard| shard["name"].as_str()).map(str::to_owned).collect())
    }

    /// Puts a customer on a shard.
    ///
    /// # Errors
    /// Where the directory refuses that, or does not answer.
    pub async fn place(&self, customer: &str, shard: &str) -> anyhow::Result<()> {
        let body = json!({ "shard": shard });
        let placed = self.ask(Method::PUT, &format!("/customers/{customer}"), Some(&body)).await;
        placed.with_context(|| format!("customer {customer} was not put on {shard}"))?;
        Ok(())
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Response> {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let request = request.bearer_auth(self.token.expose_secret());
        let request = if let Some(body) = body { request.json(body) } else { request };
        let answer = request.send().await?;
        let status = answer.status();
        if !status.is_success() {
            anyhow::bail!("{path}: {status}: {}", answer.text().await.unwrap_or_default());
        }
        Ok(answer)
    }
}
