//! Runs over NATS against a stand-in for its server, JetStream and a writer: as much of them as a publisher sees.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use serde_json::json;
use sluice_model::{CustomerId, message};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use crate::{args::tests::run_args, run::run, summary::Summary};

/// Stands in for everything behind the connection, and can be told to misbehave.
#[derive(Default)]
struct Nats {
    /// Message ids are not known again.
    forgets: bool,
    /// The writer says that every event became a dead letter.
    buries_all: bool,
    published: Mutex<Published>,
}

#[derive(Default)]
struct Published {
    messages: u64,
    events: u64,
    /// Events that can never become a row.
    bad: u64,
    ids: HashMap<String, u64>,
}

/// One connection's subscriptions: subject and number.
type Subscriptions = Vec<(String, String)>;

async fn start(nats: Arc<Nats>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, nats.clone()));
        }
    });
    url
}

async fn serve(socket: TcpStream, nats: Arc<Nats>) {
    let (read, mut write) = socket.into_split();
    let info = json!({ "server_id": "stub", "version": "2.12.0", "headers": true, "max_payload": 1 << 20, "proto": 1 });
    write.write_all(format!("INFO {info}\r\n").as_bytes()).await.unwrap();
    let (mut read, mut subscriptions) = (BufReader::new(read), Subscriptions::new());
    let mut line = String::new();
    while read.read_line(&mut line).await.is_ok_and(|bytes| bytes > 0) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        line.clear();
        let answer = match words[0].as_str() {
            "PING" => "PONG\r\n".to_owned(),
            "SUB" => {
                subscriptions.push((words[1].clone(), words.last().unwrap().clone()));
                continue;
            }
            "PUB" | "HPUB" => {
                let total: usize = words.last().unwrap().parse().unwrap();
                let mut body = vec![0; total + 2];
                read.read_exact(&mut body).await.unwrap();
                body.truncate(total);
                let head: usize = if words[0] == "HPUB" { words[words.len() - 2].parse().unwrap() } else { 0 };
                let (head, payload) = body.split_at(head);
                nats.publish(&words[1], &words[2], &String::from_utf8_lossy(head), payload, &subscriptions)
            }
            _ => continue,
        };
        if write.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

impl Nats {
    /// Stores a message; gives JetStream's acknowledgement, and the writer's word behind it where one is wanted.
    fn publish(&self, subject: &str, reply: &str, head: &str, payload: &[u8], subscriptions: &Subscriptions) -> String {
        let header =
            |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
        let customer: CustomerId = subject.strip_prefix("person.create.").unwrap().parse().unwrap();
        let bad: Vec<bool> = message::decode(payload, &customer).map(|event| event.is_err()).collect();
        let mut published = self.published.lock().unwrap();
        let known = header("Nats-Msg-Id").filter(|_| !self.forgets).and_then(|id| published.ids.get(&id).copied());
        let sequence = known.unwrap_or(published.messages + 1);
        if known.is_none() {
            published.messages += 1;
            published.events += bad.len() as u64;
            published.bad += bad.iter().filter(|bad| **bad).count() as u64;
            if let Some(id) = header("Nats-Msg-Id") {
                published.ids.insert(id, sequence);
            }
        }
        let ack = json!({ "stream": "JOURNAL-0", "seq": sequence, "duplicate": known.is_some() });
        let ack = deliver(subscriptions, reply, &ack.to_string());
        let Some(inbox) = header("Sluice-Reply") else { return ack };
        let dead: Vec<_> =
            (0..).zip(&bad).filter(|(_, bad)| **bad || self.buries_all).map(|(index, _)| index).collect();
        let word = json!({ "position": sequence.to_string(), "shard": "s1", "dead": dead });
        ack + &deliver(subscriptions, &inbox, &word.to_string())
    }
}

/// A message to whoever listens to that subject.
fn deliver(subscriptions: &Subscriptions, subject: &str, text: &str) -> String {
    let hears = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => subject.starts_with(start),
        None => subject == pattern,
    };
    let listening = subscriptions.iter().find(|(pattern, _)| hears(pattern));
    listening.map_or_else(String::new, |(_, number)| format!("MSG {subject} {number} {}\r\n{text}\r\n", text.len()))
}

async fn run_against(nats: Nats, line: &str) -> (Summary, Arc<Nats>) {
    let nats = Arc::new(nats);
    let url = start(nats.clone()).await;
    let line = format!("--via nats --nats-url {url} --timeout-ms 2000 {line}");
    let summary = run(&run_args(&line), CancellationToken::new()).await.unwrap();
    (summary, nats)
}

#[tokio::test]
async fn what_is_published_is_accepted_once_it_is_acknowledged_and_bad_events_are_counted_apart() {
    let (summary, nats) = run_against(Nats::default(), "--count 105 --events-per-message 10 --bad 7").await;
    let whole = summary.whole;
    assert_eq!((whole.accepted, whole.bad_published, whole.failed, whole.requests), (90, 15, 0, 11));
    assert!(whole.latency_us.p50 > 0);
    let published = nats.published.lock().unwrap();
    assert_eq!((published.messages, published.events, published.bad), (11, 105, 15));
}

#[tokio::test]
async fn a_message_that_is_published_twice_is_stored_once() {
    let (right, nats) = run_against(Nats::default(), "--count 20 --publish-twice 4").await;
    assert_eq!((right.whole.accepted, right.whole.replayed, right.whole.failed), (20, 5, 0));
    assert_eq!(nats.published.lock().unwrap().messages, 20);
    let (wrong, _) = run_against(Nats { forgets: true, ..Nats::default() }, "--count 20 --publish-twice 4").await;
    assert_eq!((wrong.whole.accepted, wrong.whole.failures["replay_differs"]), (15, 5));
}

#[tokio::test]
async fn a_writers_word_tells_of_the_commit_and_of_dead_letters_that_should_be_none() {
    let line = "--count 40 --events-per-message 2 --commit-every 5 --bad 8";
    let (right, _) = run_against(Nats::default(), line).await;
    let commits = right.whole.commits;
    assert_eq!((right.whole.accepted, right.whole.bad_published, right.whole.failed), (35, 5, 0));
    assert_eq!((commits.committed, commits.not_committed_in_time), (4, 0));
    assert!(commits.latency_us.p50 > 0 && right.whole.latency_us.p50 > 0, "over NATS both are known");
    let (wrong, _) = run_against(Nats { buries_all: true, ..Nats::default() }, "--count 40 --commit-every 5").await;
    assert_eq!((wrong.whole.accepted, wrong.whole.failures["dead_letter"]), (32, 8));
}
