//! The shards, one connection each.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use anyhow::Context;
use futures::{StreamExt, future::join_all};
use sluice_directory::ShardEntry;
use sluice_model::{CustomerId, Partition, Position};
use sluice_shard::{Class, Identity, Shard, ShardAddress, ShardError};

use super::{claims::Claims, ledger::Ledger};
use crate::progress::Progress;

/// How long a shard may take to say how far it is, or to give the next of its rows.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Progress is told once for so many rows.
const TELL_EVERY: u64 = 1_000;
/// Rows of a customer that are read at once with their names.
const PAGE: u32 = 1_000;

/// Every registered shard.
pub struct Fleet {
    members: Vec<Member>,
    selected: Option<usize>,
}

struct Member {
    identity: Identity,
    address: ShardAddress,
    connection: Option<Shard>,
}

/// How far a shard has stored each partition; or why it does not say.
pub type Stored = Result<BTreeMap<Partition, Position>, anyhow::Error>;

impl Fleet {
    /// The shards that the directory lists, not connected yet.
    pub fn new(shards: &[ShardEntry], journal_id: &str) -> Self {
        let member = |entry: &ShardEntry| Member {
            identity: Identity { shard: entry.name.clone(), journal_id: journal_id.to_owned() },
            address: entry.address.clone(),
            connection: None,
        };
        Self { members: shards.iter().map(member).collect(), selected: None }
    }

    /// From now on only this shard is asked anything; gives its index.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn select(&mut self, shard: &str) -> anyhow::Result<usize> {
        let selected = self.members.iter().position(|member| member.identity.shard == shard);
        let selected = selected.with_context(|| format!("the directory lists no shard {shard}"))?;
        self.selected = Some(selected);
        Ok(selected)
    }

    /// Their names, in order.
    pub fn names(&self) -> Vec<String> {
        self.members.iter().map(|member| member.identity.shard.clone()).collect()
    }

    /// How far each is, in order.
    ///
    /// # Errors
    /// Where waiting does not mend a shard: a bad password, another identity.
    pub async fn positions(&mut self) -> anyhow::Result<Vec<Stored>> {
        let mut answers = Vec::with_capacity(self.members.len());
        let selected = self.selected;
        let ask = async |(shard, member): (usize, &mut Member)| match selected {
            // It owes nothing that anybody wants to know of.
            Some(selected) if selected != shard => Ok(BTreeMap::new()),
            _ => member.positions().await,
        };
        for answer in join_all(self.members.iter_mut().enumerate().map(ask)).await {
            match answer {
                Err(error) if is_hopeless(&error) => return Err(error),
                answer => answers.push(answer),
            }
        }
        Ok(answers)
    }

    /// Shows the ledger every row of every shard.
    ///
    /// # Errors
    /// Where a shard cannot be read to its end: half of its rows would say nothing.
    pub async fn show_rows(&mut self, ledger: &mut Ledger) -> anyhow::Result<()> {
        let selected = self.selected;
        let is_meant = |shard: usize| selected.is_none_or(|selected| selected == shard);
        for (shard, member) in self.members.iter_mut().enumerate().filter(|(shard, _)| is_meant(*shard)) {
            member.show_rows(shard, ledger).await?;
        }
        Ok(())
    }

    /// Shows the claims every row of every shard, with its name.
    ///
    /// # Errors
    /// As [`Fleet::show_rows`].
    pub async fn show_people(&mut self, claims: &mut Claims) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.show_people(claims).await?;
        }
        Ok(())
    }
}

impl Member {
    async fn connection(&mut self) -> anyhow::Result<&mut Shard> {
        if self.connection.is_none() {
            let connected = tokio::time::timeout(TIMEOUT, Shard::connect(&self.address, &self.identity)).await;
            let connected = connected.map_err(anyhow::Error::new).and_then(|shard| Ok(shard?));
            self.connection = Some(connected.with_context(|| self.who())?);
        }
        Ok(self.connection.as_mut().expect("it was made just now"))
    }

    async fn positions(&mut self) -> Stored {
        let who = self.who();
        let answer = tokio::time::timeout(TIMEOUT, self.connection().await?.positions()).await;
        let answer = answer.map_err(anyhow::Error::new).and_then(|positions| Ok(positions?));
        if answer.is_err() {
            // In doubt about its state: the next question goes over a new one.
            self.connection = None;
        }
        let positions = answer.context(who)?;
        Ok(positions.into_iter().map(|(partition, stored)| (partition, stored.position)).collect())
    }

    async fn show_rows(&mut self, shard: usize, ledger: &mut Ledger) -> anyhow::Result<()> {
        let who = self.who();
        let connection = self.connection().await?;
        let count = connection.counts().await.with_context(|| who.clone())?.rows;
        let progress = Progress::begin(format!("reading {who}"), count, "rows");
        let mut ids = pin!(connection.ids());
        let mut done = 0;
        loop {
            let row = tokio::time::timeout(TIMEOUT, ids.next()).await.with_context(|| who.clone())?;
            let Some(row) = row else { break };
            let (customer, id) = row.with_context(|| who.clone())?;
            ledger.row(shard, &customer, id);
            done += 1;
            if done % TELL_EVERY == 0 {
                progress.at(done);
            }
        }
        progress.end();
        Ok(())
    }

    async fn show_people(&mut self, claims: &mut Claims) -> anyhow::Result<()> {
        let who = self.who();
        let name = self.identity.shard.clone();
        let connection = self.connection().await?;
        let customers = connection.all_customers().await.with_context(|| who.clone())?;
        let progress = Progress::begin(format!("reading the names of {who}"), customers.len() as u64, "customers");
        for (done, customer) in (1..).zip(&customers) {
            // Nobody can ask for the rows of one who is none; the ledger has named these.
            let Ok(customer) = customer.parse::<CustomerId>() else { continue };
            let mut after = None;
            loop {
                let page = tokio::time::timeout(TIMEOUT, connection.customer_rows(&customer, after, PAGE)).await;
                let page = page.with_context(|| who.clone())?.with_context(|| who.clone())?;
                page.iter().for_each(|row| claims.row(&name, row));
                after = page.last().map(|row| row.id);
                if page.len() < PAGE as usize {
                    break;
                }
            }
            progress.at(done);
        }
        progress.end();
        Ok(())
    }

    fn who(&self) -> String {
        format!("shard {} at {}", self.identity.shard, self.address)
    }
}

fn is_hopeless(error: &anyhow::Error) -> bool {
    let class = error.chain().find_map(|cause| cause.downcast_ref::<ShardError>()).map(|error| error.class);
    class.is_some_and(|class| class != Class::Transient)
}
