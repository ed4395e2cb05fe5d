//! A TCP proxy before a database, that breaks what a network breaks.

mod faults;

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

pub use self::faults::Cut;
use self::faults::Faults;

/// How long the last answer to a string of statements is waited for.
const LAST_ANSWER: Duration = Duration::from_millis(30);

/// A proxy on a free port of loopback. Dropping it closes every connection through it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    faults: Arc<Faults>,
    flowing: watch::Sender<bool>,
    /// The server's port.
    leads_to: watch::Sender<u16>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Before the server at this port of loopback.
    ///
    /// # Errors
    /// Where no port can be had.
    pub async fn before(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let own = listener.local_addr()?.port();
        let faults = Arc::new(Faults::default());
        let flowing = watch::Sender::new(true);
        let leads_to = watch::Sender::new(port);
        let accepting = tokio::spawn(accept(listener, leads_to.subscribe(), Arc::clone(&faults), flowing.subscribe()));
        Ok(Self { port: own, faults, flowing, leads_to, accepting })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, so many commits reach the server and are carried out, and their answers never come back: the connection
    /// is cut in between.
    pub fn lose_commit_answers(&self, commits: u64) {
        self.faults.lose_commit_answers(commits);
    }

    /// How many answers were lost so far.
    pub fn lost(&self) -> u64 {
        self.faults.answers_lost()
    }

    /// The next connection whose client sends the cut's word is cut where it says; that one alone.
    pub fn cut(&self, cut: Cut) {
        self.faults.cut(cut);
    }

    /// How many connections were cut by that so far.
    pub fn cuts(&self) -> u64 {
        self.faults.cuts()
    }

    /// From now on the server's every answer comes so much later, as over a slow line or from a busy server. Zero ends that.
    pub fn delay(&self, delay: Duration) {
        self.faults.set_delay(delay);
    }

    /// From now on it leads to the server at that port of loopback, as a name does that is given to another host. What was
    /// open is closed.
    pub fn lead_to(&self, port: u16) {
        self.leads_to.send_replace(port);
    }

    /// Nothing goes through any more, in neither direction, and no connection is closed: as with a cable that is out.
    pub fn hold(&self) {
        self.flowing.send_replace(false);
    }

    /// Everything goes on.
    pub fn release(&self) {
        self.flowing.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    leads_to: watch::Receiver<u16>,
    faults: Arc<Faults>,
    flowing: watch::Receiver<bool>,
) {
    // Its connections end with it.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (faults, flowing, mut leads_to) = (Arc::clone(&faults), flowing.clone(), leads_to.clone());
        connections.spawn(async move {
            let port = *leads_to.borrow_and_update();
            if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                // However it ends, both sides are closed.
                tokio::select! {
                    _ = pass(client, server, &faults, flowing) => {}
                    _ = leads_to.changed() => {}
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    faults: &Faults,
    mut flowing: watch::Receiver<bool>,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    // How many bytes still go to the server, where this connection is to be cut.
    let mut cut = None;
    loop {
        if flowing.wait_for(|flows| *flows).await.is_err() {
            return Ok(());
        }
        tokio::select! {
            read = client.read(&mut asked) => match read? {
                0 => return Ok(()),
                n => {
                    cut = cut.or_else(|| faults.take_cut(&asked[..n]));
                    if let Some(left) = cut.filter(|left| *left <= n) {
                        server.write_all(&asked[..left]).await?;
                        faults.is_cut();
                        return Ok(());
                    }
                    cut = cut.map(|left| left - n);
                    server.write_all(&asked[..n]).await?;
                    if faults.loses_answer_to(&asked[..n]) {
                        // Once it comes, the commit is carried out. And it goes no further.
                        if server.read(&mut answered).await? > 0 {
                            // MariaDB answers each statement of a string by itself, and the commit is the last one.
                            let _ = tokio::time::timeout(LAST_ANSWER, server.read(&mut answered)).await;
                            faults.answer_is_lost();
                        }
                        return Ok(());
                    }
                }
            },
            read = server.read(&mut answered) => match read? {
                0 => return Ok(()),
                n => {
                    tokio::time::sleep(faults.delay()).await;
                    client.write_all(&answered[..n]).await?;
                }
            },
            // Held in the middle of waiting: looked at above.
            _ = flowing.changed() => {}
        }
    }
}
