//! A connection pooler before PostgreSQL, as far as its faults go.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::{Mutex, OwnedMutexGuard},
    task::{JoinHandle, JoinSet},
};

/// What a pooler does with its clients.
#[derive(Debug, Clone, Copy)]
pub enum Pooling {
    /// Each client has a connection of its own, and what it asks for when it connects is dropped
    /// (PgBouncer: `pool_mode = session`, `ignore_startup_parameters = options`).
    BySession,
    /// All clients have the same connection, each for one transaction (`pool_mode = transaction`).
    ByTransaction,
    /// As by session, and this connection alone, for one client at a time.
    OfOne,
}

/// Listens on a free port of loopback until it is dropped.
pub struct Pooler {
    pub port: u16,
    accepting: JoinHandle<()>,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

type Shared = Arc<Mutex<Option<TcpStream>>>;

impl Pooler {
    /// Before the server at this port of loopback.
    pub async fn before(port: u16, pooling: Pooling) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let accepting = tokio::spawn(async move {
            let (mut clients, shared) = (JoinSet::new(), Shared::default());
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                clients.spawn(async move {
                    // A client that goes away ends its part by an error.
                    let _ = match pooling {
                        Pooling::BySession => by_session(client, port).await,
                        Pooling::OfOne => {
                            let _alone = shared.lock().await;
                            by_session(client, port).await
                        }
                        Pooling::ByTransaction => by_transaction(client, port, shared).await,
                    };
                });
            }
        });
        Self { port: own, accepting }
    }
}

async fn by_session(mut client: TcpStream, port: u16) -> std::io::Result<()> {
    let mut server = greet(&mut client, port).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// Connects for a client, without what it wishes for.
async fn greet(client: &mut TcpStream, port: u16) -> std::io::Result<TcpStream> {
    let startup = plain(&read_startup(client).await?);
    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    server.set_nodelay(true)?;
    server.write_all(&startup).await?;
    Ok(server)
}

async fn by_transaction(mut client: TcpStream, port: u16, shared: Shared) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut held = Arc::clone(&shared).lock_owned().await;
    if held.is_none() {
        let mut server = greet(&mut client, port).await?;
        let_in(&mut client, &mut server).await?;
        *held = Some(server);
    } else {
        read_startup(&mut client).await?;
        // AuthenticationOk, ReadyForQuery.
        client.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await?;
    }
    let mut holding: Option<OwnedMutexGuard<Option<TcpStream>>> = None;
    drop(held);
    loop {
        let message = read_message(&mut client).await?;
        if message[0] == b'X' {
            return Ok(());
        }
        if holding.is_none() {
            holding = Some(Arc::clone(&shared).lock_owned().await);
        }
        let server = holding.as_mut().unwrap().as_mut().unwrap();
        server.write_all(&message).await?;
        // Query, Sync, CopyDone and CopyFail are answered.
        if matches!(message[0], b'Q' | b'S' | b'c' | b'f') && answer(&mut client, server).await? {
            holding = None;
        }
    }
}

/// Passes a client's log-in on, until the server is ready.
async fn let_in(client: &mut TcpStream, server: &mut TcpStream) -> std::io::Result<()> {
    loop {
        let message = read_message(server).await?;
        client.write_all(&message).await?;
        match (message[0], message.get(8)) {
            (b'Z', _) => return Ok(()),
            // A password is wanted, or the next step of SCRAM.
            (b'R', Some(3 | 5 | 10 | 11)) => server.write_all(&read_message(client).await?).await?,
            _ => {}
        }
    }
}

/// Passes an answer on; true where the server's transaction is over with it.
async fn answer(client: &mut TcpStream, server: &mut TcpStream) -> std::io::Result<bool> {
    loop {
        let message = read_message(server).await?;
        client.write_all(&message).await?;
        match message[0] {
            b'Z' => return Ok(message[5] == b'I'),
            // It waits for the rows of a COPY.
            b'G' => return Ok(false),
            _ => {}
        }
    }
}

/// Its length comes first, its version next: names and values follow.
async fn read_startup(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = client.read_u32().await?;
    let mut rest = vec![0; length as usize - 4];
    client.read_exact(&mut rest).await?;
    Ok([&length.to_be_bytes()[..], &rest].concat())
}

/// The start of a connection that wishes for nothing but its user and database.
fn plain(startup: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = startup[8..].split(|byte| *byte == 0).collect();
    let mut kept = startup[4..8].to_vec();
    for pair in parts.chunks_exact(2).filter(|pair| matches!(pair[0], b"user" | b"database")) {
        kept.extend([pair[0], b"\0", pair[1], b"\0"].concat());
    }
    kept.push(0);
    let length = u32::try_from(kept.len() + 4).unwrap();
    [&length.to_be_bytes()[..], &kept].concat()
}

/// One message of either side: a letter, its length, the rest.
async fn read_message(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; 5];
    from.read_exact(&mut message).await?;
    let length = u32::from_be_bytes(message[1..5].try_into().unwrap()) as usize;
    message.resize(length + 1, 0);
    from.read_exact(&mut message[5..]).await?;
    Ok(message)
}
