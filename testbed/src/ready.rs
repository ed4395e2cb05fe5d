//! How one sees from outside that a process does its work.

use std::{net::SocketAddr, time::Duration};

use async_nats::{ConnectOptions, jetstream};

use crate::nats_users::Login;

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(1);

/// What answers once a process is ready.
#[derive(Debug, Clone)]
pub enum Ready {
    /// `/readyz` of one of our services says 200.
    Http(SocketAddr),
    /// A NATS server with this URL answers a question about JetStream, to this user where it has users.
    Nats(String, Option<Login>),
    /// Nothing does: it is ready at once.
    AtOnce,
}

impl Ready {
    /// Whether it is ready now.
    pub async fn is_so(&self) -> bool {
        let look = async {
            match self {
                Self::Http(listen) => http_is_ready(listen).await,
                Self::Nats(url, login) => nats_is_ready(url, login.as_ref()).await,
                Self::AtOnce => true,
            }
        };
        tokio::time::timeout(LOOK, look).await.unwrap_or(false)
    }
}

async fn http_is_ready(listen: &SocketAddr) -> bool {
    // A proxy of the environment cannot reach our loopback.
    let Ok(client) = reqwest::Client::builder().no_proxy().build() else { return false };
    client.get(format!("http://{listen}/readyz")).send().await.is_ok_and(|answer| answer.status().is_success())
}

async fn nats_is_ready(url: &str, login: Option<&Login>) -> bool {
    let connected = match login {
        Some(login) => login.connect(ConnectOptions::new()).await.ok(),
        None => async_nats::connect(url).await.ok(),
    };
    match connected {
        Some(client) => jetstream::new(client).query_account().await.is_ok(),
        None => false,
    }
}
