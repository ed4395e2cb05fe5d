//! A TCP proxy before a database, that breaks what a network breaks.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// The bytes that a PostgreSQL client sends to commit.
const COMMIT: &[u8] = b"COMMIT";

/// A proxy on a free port of loopback. Dropping it closes every connection through it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    faults: Arc<Faults>,
    flowing: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Faults {
    to_lose: AtomicU64,
    lost: AtomicU64,
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
        let accepting = tokio::spawn(accept(listener, port, Arc::clone(&faults), flowing.subscribe()));
        Ok(Self { port: own, faults, flowing, accepting })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, so many commits reach the server and are carried out, and their answers never come back: the connection
    /// is cut in between.
    pub fn lose_commit_answers(&self, commits: u64) {
        self.faults.to_lose.store(commits, Ordering::SeqCst);
    }

    /// How many answers were lost so far.
    pub fn lost(&self) -> u64 {
        self.faults.lost.load(Ordering::SeqCst)
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

async fn accept(listener: TcpListener, port: u16, faults: Arc<Faults>, flowing: watch::Receiver<bool>) {
    // Its connections end with it.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (faults, flowing) = (Arc::clone(&faults), flowing.clone());
        connections.spawn(async move {
            if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                // However it ends, both sides are closed.
                let _ = pass(client, server, &faults, flowing).await;
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
    loop {
        if flowing.wait_for(|flows| *flows).await.is_err() {
            return Ok(());
        }
        tokio::select! {
            read = client.read(&mut asked) => match read? {
                0 => return Ok(()),
                n => {
                    server.write_all(&asked[..n]).await?;
                    if faults.loses_answer_to(&asked[..n]) {
                        // Once it comes, the commit is carried out. And it goes no further.
                        if server.read(&mut answered).await? > 0 {
                            faults.lost.fetch_add(1, Ordering::SeqCst);
                        }
                        return Ok(());
                    }
                }
            },
            read = server.read(&mut answered) => match read? {
                0 => return Ok(()),
                n => client.write_all(&answered[..n]).await?,
            },
            // Held in the middle of waiting: looked at above.
            _ = flowing.changed() => {}
        }
    }
}

impl Faults {
    fn loses_answer_to(&self, asked: &[u8]) -> bool {
        let commits = asked.windows(COMMIT.len()).any(|window| window == COMMIT);
        let one_less = |left: u64| left.checked_sub(1);
        commits && self.to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
    }
}
