//! Whether the NATS servers acknowledge an event only once their disks have it.
//!
//! By default they do not: what they acknowledged in the last two minutes is lost in a power
//! failure. A client cannot ask for that; the servers' monitoring says it (`/jsz`).

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use async_nats::Client;
use clap::Args;
use reqwest::Url;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::shutdown::cancelled_within;

/// How often the servers are asked. More often: for nothing. Less often: a server that came back
/// with another configuration is noticed late.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Where the NATS servers' monitoring is.
#[derive(Debug, Clone, Default, Args)]
pub struct MonitorArgs {
    /// The monitoring of the NATS servers, such as http://127.0.0.1:8222, with commas between them.
    /// By it the service looks every 30 s whether they acknowledge events only once their disks have
    /// them (sync_interval: always), and warns in its log and at /readyz where they do not. Too few
    /// (or none): what a power failure would lose goes unnoticed. Too many: a server that is none of
    /// this cluster is reported in vain.
    #[arg(long, env = "NATS_MONITOR_URL", value_delimiter = ',')]
    pub nats_monitor_url: Vec<String>,
}

/// What is known of it. Clones share it; by default nothing was checked.
#[derive(Debug, Clone, Default)]
pub struct DiskSync(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    state: State,
    warning: Option<String>,
}

/// Whether acknowledged events are on the disk, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was not checked: no monitoring is named, or it does not answer.
    #[default]
    Unknown,
    /// Every server that was named acknowledges only what its disk has.
    Always,
    /// At least one acknowledges before.
    Delayed,
}

/// What a server's monitoring says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Always { server: String },
    Delayed { server: String, sync_every: Duration },
    Silent { why: String },
}

#[derive(Deserialize)]
struct Jsz {
    server_id: String,
    config: Option<JszConfig>,
}

#[derive(Deserialize)]
struct JszConfig {
    #[serde(default)]
    sync_always: bool,
    /// In nanoseconds.
    #[serde(default)]
    sync_interval: u64,
}

impl DiskSync {
    /// Whether acknowledged events are on the disk, as the servers said last.
    pub fn state(&self) -> State {
        self.known().state
    }

    /// What somebody should know about it; `None` where all is well, or nobody asked to check.
    pub fn warning(&self) -> Option<String> {
        self.known().warning.clone()
    }

    /// Asks the servers that are named, now and every 30 s until `stop`. Says once where none is.
    ///
    /// # Errors
    /// Where a URL is none that can be asked.
    pub fn watch(args: &MonitorArgs, client: Client, stop: CancellationToken) -> anyhow::Result<Self> {
        let sync = Self::default();
        let urls = args.nats_monitor_url.iter().map(|url| jsz(url)).collect::<anyhow::Result<Vec<_>>>()?;
        if urls.is_empty() {
            tracing::warn!(
                "it could not be checked whether NATS acknowledges events only once its disk has them (sync_interval: \
                 always): otherwise a power failure loses accepted events. To check it, name the servers' monitoring with \
                 --nats-monitor-url (NATS_MONITOR_URL)"
            );
            return Ok(sync);
        }
        // The servers are neighbours: a proxy for the wide world is not for them.
        let http = reqwest::Client::builder().timeout(ANSWER_LIMIT).no_proxy().build()?;
        let watched = sync.clone();
        tokio::spawn(async move {
            loop {
                let mut answers = Vec::with_capacity(urls.len());
                for url in &urls {
                    let at = url.origin().ascii_serialization();
                    answers.push((at, ask(&http, url.clone()).await));
                }
                // The connection may be younger than the process; until then this is empty.
                let connected = client.server_info();
                watched.learn(&answers, &connected.server_id, &connected.server_name);
                if cancelled_within(&stop, ASK_EVERY).await {
                    return;
                }
            }
        });
        Ok(sync)
    }

    fn learn(&self, answers: &[(String, Answer)], connected: &str, name: &str) {
        let (state, warning) = judge(answers, connected, name);
        let mut known = self.known();
        if (known.state, &known.warning) == (state, &warning) {
            return;
        }
        match &warning {
            Some(warning) => tracing::warn!("{warning}"),
            None => tracing::info!("NATS acknowledges events only once its disk has them"),
        }
        *known = Known { state, warning };
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// Returns where a server's JetStream says how it is configured.
fn jsz(url: &str) -> anyhow::Result<Url> {
    const WANTED: &str = "--nats-monitor-url (NATS_MONITOR_URL): http://HOST:PORT is wanted";
    let parsed = Url::parse(url).context(WANTED)?;
    anyhow::ensure!(
        parsed.scheme() == "http" && parsed.has_host(),
        "{WANTED}; https is not possible, as this program is built without TLS for its own requests"
    );
    anyhow::ensure!(parsed.username().is_empty() && parsed.password().is_none(), "{WANTED}, without a user");
    parsed.join("/jsz").context(WANTED)
}

async fn ask(http: &reqwest::Client, url: Url) -> Answer {
    let asked = async {
        let response = http.get(url).send().await?.error_for_status()?;
        anyhow::Ok(read(&response.bytes().await?)?)
    };
    asked.await.unwrap_or_else(|error: anyhow::Error| Answer::Silent { why: crate::output::one_line(&error) })
}

fn read(json: &[u8]) -> Result<Answer, serde_json::Error> {
    let Jsz { server_id: server, config } = serde_json::from_slice(json)?;
    Ok(match config {
        Some(config) if config.sync_always => Answer::Always { server },
        Some(config) => Answer::Delayed { server, sync_every: Duration::from_nanos(config.sync_interval) },
        None => Answer::Silent { why: "it says nothing about JetStream".to_owned() },
    })
}

/// Judges the answers of all servers that were named; the connection is to the server with this id
/// and name (empty while there is none).
fn judge(answers: &[(String, Answer)], connected: &str, name: &str) -> (State, Option<String>) {
    let delayed: Vec<_> = answers
        .iter()
        .filter_map(|(at, answer)| match answer {
            Answer::Delayed { sync_every, .. } => Some(format!("{at} (every {} s)", sync_every.as_secs_f64())),
            _ => None,
        })
        .collect();
    if !delayed.is_empty() {
        let warning = format!(
            "NATS acknowledges events before its disk has them, and loses them in a power failure: {}. Set \
             `sync_interval: always` in the jetstream block of its configuration and restart it",
            delayed.join(", ")
        );
        return (State::Delayed, Some(warning));
    }
    let silent = answers.iter().find_map(|(at, answer)| match answer {
        Answer::Silent { why } => Some(format!("{at} does not say: {why}")),
        _ => None,
    });
    let is_named = |answer: &Answer| matches!(answer, Answer::Always { server } if server == connected);
    let stranger = (!connected.is_empty() && !answers.iter().any(|(_, answer)| is_named(answer)))
        .then(|| format!("the server {name:?} that we are connected to is none of those that are named"));
    match silent.or(stranger) {
        Some(why) => {
            let warning = format!(
                "it is not known whether NATS acknowledges events only once its disk has them: {why} (--nats-monitor-url)"
            );
            (State::Unknown, Some(warning))
        }
        None => (State::Always, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nats-server 2.15.1 says it.
    fn jsz_of(sync: &str) -> Answer {
        let json =
            format!(r#"{{"memory":0,"server_id":"A","config":{{"max_storage":1,{sync}"strict":true}},"streams":0}}"#);
        read(json.as_bytes()).unwrap()
    }

    #[test]
    fn only_a_server_that_says_so_acknowledges_what_its_disk_has() {
        let always = jsz_of(r#""sync_interval":120000000000,"sync_always":true,"#);
        assert_eq!(always, Answer::Always { server: "A".into() });
        let sync_every = Duration::from_secs(120);
        assert_eq!(jsz_of(r#""sync_interval":120000000000,"#), Answer::Delayed { server: "A".into(), sync_every });
        assert!(matches!(read(br#"{"server_id":"A","disabled":true}"#).unwrap(), Answer::Silent { .. }));
        assert!(read(b"<html>").is_err());
    }

    #[test]
    fn one_server_that_does_not_is_enough_to_warn_and_one_that_is_not_known_is_said_to_be_so() {
        let always = |id: &str| (id.to_owned(), Answer::Always { server: id.to_owned() });
        let delayed = ("b".to_owned(), jsz_of(r#""sync_interval":5000000000,"#));
        let silent = ("c".to_owned(), Answer::Silent { why: "refused".into() });
        let of = |answers: &[(String, Answer)], connected| judge(answers, connected, "n1");
        assert_eq!(of(&[always("A"), always("B")], "A"), (State::Always, None));
        assert_eq!(of(&[always("A")], ""), (State::Always, None));
        for (answers, connected, state, wanted) in [
            (vec![always("A"), delayed.clone()], "A", State::Delayed, "b (every 5 s)"),
            (vec![delayed, silent.clone()], "A", State::Delayed, "sync_interval: always"),
            (vec![always("A"), silent], "A", State::Unknown, "c does not say: refused"),
            (vec![always("A")], "Z", State::Unknown, "\"n1\""),
        ] {
            let (found, warning) = of(&answers, connected);
            assert!(found == state && warning.as_ref().unwrap().contains(wanted), "{warning:?}");
        }
    }

    #[test]
    fn a_monitoring_url_that_cannot_be_asked_is_refused() {
        assert_eq!(jsz("http://127.0.0.1:8222").unwrap().as_str(), "http://127.0.0.1:8222/jsz");
        assert_eq!(jsz("http://a:1/").unwrap().as_str(), "http://a:1/jsz");
        for bad in ["", "a:8222", "https://a:8222", "nats://a:4222", "http://me:canary@a:1"] {
            let error = jsz(bad).unwrap_err();
            assert!(format!("{error:#}").contains("NATS_MONITOR_URL"), "{bad}");
            assert!(!format!("{error:#}").contains("canary"));
        }
    }
}
