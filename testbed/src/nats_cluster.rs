//! What the NATS servers of a fleet say about their streams: who leads one, and whether every copy is current.

use std::time::Duration;

use anyhow::Context;
use async_nats::{
    ConnectOptions,
    jetstream::{
        self,
        stream::{Info, PeerInfo},
    },
};
use futures::TryStreamExt;

use crate::{fleet::Fleet, nats_users::NatsUser, wait};

/// How long one question may take. A server that is frozen answers none.
const QUESTION: Duration = Duration::from_secs(2);
/// A copy that its leader has not heard of for this long is not current, whatever it was before. Leaders ask every second.
const SILENT: Duration = Duration::from_secs(3);

/// Entries that a current copy may lack: under load there is always one that the leader has and another copy has not yet.
const CLOSE: u64 = 100;

/// A stream, as its leader describes it. Key-value buckets are streams too: `KV_<bucket>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamCopies {
    /// Its name.
    pub stream: String,
    /// Copies that it is made with.
    pub replicas: usize,
    /// Copies that follow the leader closely, the leader's own among them.
    pub current: usize,
    /// The server that leads it, in the order of [`Fleet::nats_nodes`]; `None` while there is none.
    pub leader: Option<usize>,
}

/// What the server with that index is called.
pub(crate) fn name(index: usize) -> String {
    format!("sluice-{}", index + 1)
}

impl Fleet {
    /// The operator's connection to whichever NATS server answers first.
    ///
    /// # Errors
    /// Where none does.
    pub async fn nats_client(&self) -> anyhow::Result<async_nats::Client> {
        self.login(NatsUser::Operator).connect(ConnectOptions::new()).await
    }

    /// The same, for questions that a server which is frozen may not hold up.
    async fn nats_questions(&self) -> anyhow::Result<async_nats::Client> {
        let options = ConnectOptions::new().connection_timeout(QUESTION).request_timeout(Some(QUESTION));
        self.login(NatsUser::Operator).connect(options).await
    }

    /// Every stream that there is, in the order of their names.
    ///
    /// # Errors
    /// Where JetStream does not answer.
    pub async fn streams(&self) -> anyhow::Result<Vec<StreamCopies>> {
        let mut context = jetstream::new(self.nats_questions().await?);
        context.set_timeout(QUESTION);
        let mut names: Vec<String> = context.stream_names().try_collect().await.context("list the streams")?;
        names.sort();
        let ask = async |name: &String| {
            let stream = context.get_stream(name).await.with_context(|| format!("ask about the stream {name}"))?;
            anyhow::Ok(copies(stream.cached_info()))
        };
        futures::future::try_join_all(names.iter().map(ask)).await
    }

    /// Which NATS server leads a stream, in the order of [`Fleet::nats_nodes`]; `None` while there is none.
    ///
    /// # Errors
    /// Where JetStream does not answer, or there is no such stream.
    pub async fn leader_of(&self, stream: &str) -> anyhow::Result<Option<usize>> {
        let mut context = jetstream::new(self.nats_questions().await?);
        context.set_timeout(QUESTION);
        let stream = context.get_stream(stream).await.with_context(|| format!("ask about the stream {stream}"))?;
        Ok(copies(stream.cached_info()).leader)
    }

    /// Waits until each stream has a leader and as many current copies as it is made with. Until then the loss of a further
    /// server may be one too many.
    ///
    /// # Errors
    /// Where that is not so within the limit.
    pub async fn wait_until_copies_are_current(&self, limit: Duration) -> anyhow::Result<()> {
        let all_current = async || {
            let streams = self.streams().await.unwrap_or_default();
            !streams.is_empty() && streams.iter().all(|s| s.leader.is_some() && s.current == s.replicas)
        };
        wait::until("every copy of every stream is current", limit, all_current).await
    }
}

fn copies(info: &Info) -> StreamCopies {
    let cluster = info.cluster.as_ref();
    let leader = cluster.and_then(|cluster| cluster.leader.as_deref());
    // A server that is alone leads all it has, and says nothing of a cluster.
    let leader = if cluster.is_none() { Some(0) } else { leader.and_then(index) };
    let others = cluster.map(|cluster| cluster.replicas.as_slice()).unwrap_or_default();
    let is_close = |copy: &PeerInfo| copy.current || copy.lag.is_some_and(|lag| lag <= CLOSE);
    let current = others.iter().filter(|copy| is_close(copy) && !copy.offline && copy.active < SILENT).count();
    StreamCopies {
        stream: info.config.name.clone(),
        replicas: info.config.num_replicas,
        current: current + usize::from(leader.is_some()),
        leader,
    }
}

fn index(server: &str) -> Option<usize> {
    let number: usize = server.strip_prefix("sluice-")?.parse().ok()?;
    number.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_name_leads_back_to_its_index() {
        assert_eq!((0..5).map(|n| index(&name(n))).collect::<Vec<_>>(), (0..5).map(Some).collect::<Vec<_>>());
        assert_eq!((index("sluice"), index("sluice-0"), index("other-1")), (None, None, None));
    }
}
