//! A publisher that shares no code with us, not even a NATS library: a socket and the protocol's text.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

use secrecy::ExposeSecret;
use sluice_shard::Flavor;
use sluice_testbed::{FleetOptions, Login, NatsUser, rows, wait};

use crate::{LIMIT, fleet};

/// What `nats pub` sends, byte for byte.
fn publish(address: &str, login: &Login, subject: &str, payloads: &[&str]) {
    let mut socket = TcpStream::connect(address).unwrap();
    let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("INFO "));
    let (user, pass) = (login.user, login.password.expose_secret());
    write!(socket, "CONNECT {}\r\n", serde_json::json!({"verbose": false, "user": user, "pass": pass})).unwrap();
    for payload in payloads {
        write!(socket, "PUB {subject} {}\r\n{payload}\r\n", payload.len()).unwrap();
    }
    socket.write_all(b"PING\r\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "PONG");
}

#[tokio::test]
async fn what_nats_pub_sends_becomes_rows_of_the_customers_shard() {
    let fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    fleet.admin().unwrap().place("2", "shard2").await.unwrap();
    let address = fleet.nats_url().replace("nats://", "");
    let one = r#"{"name":"Ada","address":"London"}"#;
    let lines = "{\"name\":\"a\",\"address\":\"1\"}\n{\"name\":\"b\",\"address\":\"2\"}\n";
    let spread = "{\n  \"name\": \"Grace\",\n  \"address\": \"New York\"\n}\n";
    let login = fleet.login(NatsUser::Publisher);
    tokio::task::spawn_blocking(move || publish(&address, &login, "person.create.2", &[one, lines, spread]))
        .await
        .unwrap();
    let there = async || rows::count(&fleet.shards()[1].address).await.is_ok_and(|shard| shard.rows == 4);
    wait::until("4 rows on shard2", LIMIT, there).await.unwrap();
    assert!(fleet.verify().await.unwrap().ok);
}
