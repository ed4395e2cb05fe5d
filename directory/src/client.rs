//! What the other parts of Sluice ask the directory by.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};
use sluice_model::{CustomerId, Position};
use sluice_shard::ShardAddress;

use crate::{
    api::{
        At, MAX_QUESTIONS, Pool, ReadQuestions, Route, RouteAnswer, Routes, ShardCredentials, ShardState, Shards,
        WriteQuestion, WriteQuestions,
    },
    args::{DirectoryArgs, Mode},
    transport::{Asked, DirectoryError, Http, Transport},
};

/// A client of the directory; clones share its connections. Nothing is cached here: how long an answer holds is for
/// the asker to know.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
}

/// A registered shard with all that is needed to write to it. `Debug` leaves the password out.
#[derive(Debug, Clone)]
pub struct ShardEntry {
    /// Its name.
    pub name: String,
    /// Engine, place and credentials.
    pub address: ShardAddress,
    /// Which customers it takes.
    pub pool: Pool,
    /// Whether it takes new ones.
    pub state: ShardState,
}

impl From<ShardCredentials> for ShardEntry {
    fn from(shard: ShardCredentials) -> Self {
        let ShardCredentials { name, flavor, host, port, user, password, database, pool, state } = shard;
        Self { name, address: ShardAddress { flavor, host, port, user, password, database }, pool, state }
    }
}

impl Client {
    /// Asks over NATS; each request may take `timeout`.
    pub fn over_nats(client: async_nats::Client, timeout: Duration) -> Self {
        Self { transport: Transport::Nats { client, timeout } }
    }

    /// Asks over HTTP at `http://host:port`; each request may take `timeout`.
    ///
    /// # Errors
    /// Where the endpoint is none.
    pub fn over_http(endpoint: &str, timeout: Duration) -> Result<Self, DirectoryError> {
        Ok(Self { transport: Transport::Http(Http::new(endpoint, timeout)?) })
    }

    /// As the environment or the command line says.
    ///
    /// # Errors
    /// Where HTTP is wanted and its endpoint is missing or none.
    pub fn from_args(args: &DirectoryArgs, nats: &async_nats::Client) -> anyhow::Result<Self> {
        match (args.sharding_mode, &args.sharding_api_endpoint) {
            (Mode::Nats, _) => Ok(Self::over_nats(nats.clone(), args.timeout())),
            (Mode::Api, Some(endpoint)) => Ok(Self::over_http(endpoint, args.timeout())?),
            (Mode::Api, None) => anyhow::bail!(
                "sharding mode api needs --sharding-api-endpoint (SHARDING_API_ENDPOINT), such as http://127.0.0.1:7070"
            ),
        }
    }

    /// Where each event belongs; places unknown customers by policy. One answer per question, in order.
    ///
    /// Up to 1,000 questions go in one request, and are decided in one transaction.
    ///
    /// # Errors
    /// See [`DirectoryError::is_transient`]. Answers of an earlier request are then lost, what was placed stays placed.
    pub async fn write_routes(&self, questions: &[(CustomerId, Position)]) -> Result<Vec<RouteAnswer>, DirectoryError> {
        let mut answers = Vec::with_capacity(questions.len());
        for chunk in questions.chunks(MAX_QUESTIONS) {
            let question = |(customer, at): &(CustomerId, Position)| WriteQuestion {
                customer: customer.clone(),
                at: Some(At(*at)),
            };
            let asked = WriteQuestions { customers: chunk.iter().map(question).collect() };
            answers.extend(self.routes(Asked::WriteMany, &asked, chunk.len()).await?);
        }
        Ok(answers)
    }

    /// Where each customer's rows are, `None` for one that is not placed; places nobody.
    ///
    /// # Errors
    /// See [`DirectoryError::is_transient`].
    pub async fn read_routes(&self, customers: &[CustomerId]) -> Result<Vec<Option<Route>>, DirectoryError> {
        let mut answers = Vec::with_capacity(customers.len());
        for chunk in customers.chunks(MAX_QUESTIONS) {
            let asked = ReadQuestions { customers: chunk.to_vec() };
            answers.extend(self.routes(Asked::ReadMany, &asked, chunk.len()).await?);
        }
        Ok(answers)
    }

    /// Every registered shard with its credentials.
    ///
    /// # Errors
    /// See [`DirectoryError::is_transient`].
    pub async fn shards(&self) -> Result<Vec<ShardEntry>, DirectoryError> {
        let answer: Shards<ShardCredentials> = self.transport.ask(Asked::Credentials, Vec::new()).await?;
        Ok(answer.shards.into_iter().map(Into::into).collect())
    }

    async fn routes<T: DeserializeOwned>(
        &self,
        asked: Asked,
        questions: &impl Serialize,
        wanted: usize,
    ) -> Result<Vec<T>, DirectoryError> {
        let body = serde_json::to_vec(questions).expect("questions have only texts and numbers");
        let answer: Routes<T> = self.transport.ask(asked, body).await?;
        if answer.routes.len() == wanted {
            return Ok(answer.routes);
        }
        let what = format!("{} answers to {wanted} questions", answer.routes.len());
        Err(DirectoryError::Unreadable(what.into()))
    }
}
