//! What somebody may try, and how one sees whether it happened.

use std::time::Duration;

use async_nats::{
    ConnectOptions,
    jetstream::{self, kv, stream},
};
use futures::StreamExt;
use sluice_journal::subject::{DEAD_STREAM, REPAIR_BUCKET, bucket_stream, create, filler, stream_name};
use sluice_model::{CustomerId, Partition, PartitionCount};
use sluice_testbed::{Fleet, Login, NatsUser};

use super::client::Client;

/// How long a subscription, or something that is heard, takes to arrive at most.
const HEARD: Duration = Duration::from_millis(300);
/// A stream that nobody needs.
const SPARE: &str = "SPARE";

#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    PublishPerson,
    PublishToJournal,
    PublishFiller,
    ReadEvent,
    ReadDead,
    Consume,
    PurgeJournal,
    PurgeDead,
    MakeStream,
    DeleteStream,
    Put(&'static str),
    Bury,
    AskRoute,
    AskCredentials,
    HearTheWriter,
    HearEverything,
    TellIngest,
    ServiceInfo,
}

/// The operator looks at what happens.
pub(super) struct Stage {
    jetstream: jetstream::Context,
    writer: async_nats::Client,
    ingest: Login,
    partitions: PartitionCount,
    customer: CustomerId,
    own: Partition,
}

impl Stage {
    /// Whether it may read a message that is stored under that subject.
    async fn read(&self, stream: &str, subject: &str, who: &mut Client) -> bool {
        self.jetstream.publish(subject.to_owned(), "x".into()).await.unwrap().await.unwrap();
        let question = format!(r#"{{"last_by_subj":"{subject}"}}"#);
        let answer = who.ask(&format!("$JS.API.STREAM.MSG.GET.{stream}"), question).await;
        answer.is_some_and(|answer| String::from_utf8_lossy(&answer.payload).contains(subject))
    }

    pub(super) async fn set(fleet: &Fleet) -> Self {
        let jetstream = jetstream::new(fleet.nats_client().await.unwrap());
        // An operator's command makes it when it is needed.
        let config = kv::Config { bucket: REPAIR_BUCKET.to_owned(), ..kv::Config::default() };
        jetstream.create_key_value(config).await.unwrap();
        let writer = fleet.login(NatsUser::Writer).connect(ConnectOptions::new()).await.unwrap();
        let (partitions, customer) = (fleet.partitions(), "1".parse::<CustomerId>().unwrap());
        let own = partitions.of(&customer);
        Self { jetstream, writer, ingest: fleet.login(NatsUser::Ingest), partitions, customer, own }
    }

    async fn state(&self, stream: &str) -> stream::State {
        self.jetstream.get_stream(stream).await.unwrap().cached_info().state.clone()
    }

    /// Whether a stream stores what somebody publishes.
    async fn stored(&self, stream: &str, publish: impl Future) -> bool {
        let before = self.state(stream).await.last_sequence;
        publish.await;
        self.state(stream).await.last_sequence > before
    }

    /// Whether a stream, in which there is a message now, is empty after that.
    async fn emptied(&self, stream: &str, subject: String, purge: impl Future) -> bool {
        self.jetstream.publish(subject, "x".into()).await.unwrap().await.unwrap();
        purge.await;
        self.state(stream).await.messages == 0
    }

    async fn has(&self, stream: &str) -> bool {
        self.jetstream.get_stream(stream).await.is_ok()
    }

    async fn make_spare(&self) {
        let config = stream::Config { name: SPARE.to_owned(), max_bytes: 1_024, ..stream::Config::default() };
        self.jetstream.get_or_create_stream(config).await.unwrap();
    }

    /// Whether somebody who subscribes to that hears what goes on then.
    async fn heard(&self, who: &Client, subject: &str, goes_on: impl Future) -> bool {
        let mut heard = who.nats.subscribe(subject.to_owned()).await.unwrap();
        // The client's flush does not wait for the server, and this is another connection than the one that speaks then.
        who.nats.flush().await.unwrap();
        tokio::time::sleep(HEARD).await;
        goes_on.await;
        tokio::time::timeout(HEARD, heard.next()).await.is_ok_and(|message| message.is_some())
    }
}

impl Action {
    /// Tries it; whether it happened.
    pub(super) async fn attempt(self, stage: &Stage, who: &mut Client) -> bool {
        let (own, dead) = (stream_name(stage.own), format!("dead.0.person.1.{}", rand::random::<u32>()));
        let direct = create(stage.partitions, &stage.customer);
        match self {
            Self::PublishPerson => stage.stored(&own, who.ask("person.create.1", "x")).await,
            Self::PublishToJournal => stage.stored(&own, who.ask(&direct, "x")).await,
            Self::PublishFiller => stage.stored(&own, who.ask(&filler(stage.own), "")).await,
            Self::ReadEvent => stage.read(&own, &direct, who).await,
            Self::ReadDead => stage.read("DEAD", "dead.0.person.1.1", who).await,
            Self::Consume => {
                let config = r#"{"name":"spy","ack_policy":"none","mem_storage":true}"#;
                let request = format!(r#"{{"stream_name":"{own}","config":{config}}}"#);
                who.ask(&format!("$JS.API.CONSUMER.CREATE.{own}.spy"), request).await;
                let stream = stage.jetstream.get_stream(&own).await.unwrap();
                // It can be deleted only where it was made.
                stream.delete_consumer("spy").await.is_ok()
            }
            Self::PurgeJournal => {
                let purging = format!("$JS.API.STREAM.PURGE.{own}");
                stage.emptied(&own, direct, who.ask(&purging, "")).await
            }
            Self::PurgeDead => stage.emptied(DEAD_STREAM, dead, who.ask("$JS.API.STREAM.PURGE.DEAD", "")).await,
            Self::MakeStream => {
                let config = format!(r#"{{"name":"{SPARE}","subjects":["spare"],"storage":"file","max_bytes":1024}}"#);
                who.ask(&format!("$JS.API.STREAM.CREATE.{SPARE}"), config).await;
                let made = stage.has(SPARE).await;
                if made {
                    stage.jetstream.delete_stream(SPARE).await.unwrap();
                }
                made
            }
            Self::DeleteStream => {
                stage.make_spare().await;
                who.ask(&format!("$JS.API.STREAM.DELETE.{SPARE}"), "").await;
                let deleted = !stage.has(SPARE).await;
                if !deleted {
                    stage.jetstream.delete_stream(SPARE).await.unwrap();
                }
                deleted
            }
            Self::Put(bucket) => stage.stored(&bucket_stream(bucket), who.ask(&format!("$KV.{bucket}.a"), "x")).await,
            Self::Bury => stage.stored(DEAD_STREAM, who.ask(&dead, "x")).await,
            Self::AskRoute => who.ask("directory.write.1", "").await.is_some(),
            Self::AskCredentials => {
                let answer = who.ask("directory.shards", "").await;
                answer.is_some_and(|answer| String::from_utf8_lossy(&answer.payload).contains("password"))
            }
            Self::HearTheWriter => {
                let asking = async { stage.writer.request("directory.shards", "".into()).await.unwrap() };
                stage.heard(who, "_INBOX_writer.>", asking).await
            }
            Self::HearEverything => {
                let storing = async { stage.jetstream.publish(direct, "x".into()).await.unwrap().await.unwrap() };
                stage.heard(who, ">", storing).await
            }
            Self::TellIngest => {
                let ingest = Client::of(&stage.ingest).await;
                stage.heard(&ingest, "_INBOX_ingest.>", who.tell("_INBOX_ingest.a", "x")).await
            }
            Self::ServiceInfo => who.ask("$SRV.INFO", "").await.is_some(),
        }
    }
}
