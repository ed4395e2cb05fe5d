//! An operator, who repairs the journal where shards have stored what it lost.

use std::{process::Stdio, time::Duration};

use anyhow::Context;
use tokio::{process::Command, task::JoinHandle};

use crate::{Fleet, NatsUser, tool};

/// How long a repair may take to go through. It needs NATS, the directory and every shard, of which
/// some are broken most of the time.
const LIMIT: Duration = Duration::from_secs(240);
/// How long to wait before it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Repairs the journal, one repair at a time.
#[derive(Default)]
pub struct Operator {
    repairing: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Operator {
    /// Begins to try `writer journal repair --yes`, again and again until it has nothing more to
    /// do; after those under way.
    pub fn repair(&mut self, fleet: &Fleet) {
        let (earlier, program, login) =
            (self.repairing.take(), fleet.program("writer"), fleet.login(NatsUser::Operator));
        self.repairing = Some(tokio::spawn(async move {
            if let Some(earlier) = earlier {
                earlier.await??;
            }
            let mut said = String::new();
            let repaired = async {
                loop {
                    let mut command = Command::new(&program);
                    command.args(["journal", "repair", "--yes", "-o", "json"]).stderr(Stdio::null());
                    login.give_to(&mut command);
                    let done = tool::output(&mut command).await?;
                    if done.status.success() {
                        return anyhow::Ok(());
                    }
                    said = done.stdout;
                    tokio::time::sleep(AGAIN).await;
                }
            };
            let in_time = tokio::time::timeout(LIMIT, repaired).await;
            in_time.with_context(|| format!("the journal was not repaired in time: {said}"))?
        }));
    }

    /// Waits for what was begun.
    ///
    /// # Errors
    /// Where the journal could not be repaired.
    pub async fn done(&mut self) -> anyhow::Result<()> {
        match self.repairing.take() {
            Some(repairing) => repairing.await?,
            None => Ok(()),
        }
    }
}
