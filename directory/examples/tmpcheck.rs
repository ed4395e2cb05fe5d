//! temporary
use sluice_directory::Client;
use sluice_model::*;
use std::time::{Duration, Instant};
#[tokio::main]
async fn main() {
    let nats = async_nats::connect("nats://127.0.0.1:14333").await.unwrap();
    let client = Client::over_nats(nats, Duration::from_secs(2));
    let pc = PartitionCount::try_from(4).unwrap();
    let cs: Vec<CustomerId> = (0..2500).map(|n| format!("k{n}").parse().unwrap()).collect();
    let qs: Vec<_> = cs.iter().map(|c| (c.clone(), Position::first(pc.of(c)))).collect();
    let t = Instant::now();
    println!("{:?}", client.write_routes(&qs).await.map(|r| r.len()));
    println!("{:?}", client.read_routes(&cs).await.map(|r| r.iter().flatten().count()));
    println!("{:?} {:?}", client.shards().await.map(|s| s.len()), t.elapsed());
    let bad = client
        .write_routes(&[(cs[0].clone(), Position::new(Position::first(pc.of(&cs[0])).get() ^ (1 << 44)).unwrap())])
        .await
        .unwrap_err();
    println!("{} {bad}", bad.is_transient());
    println!("READY");
    let mut l = String::new();
    std::io::stdin().read_line(&mut l).unwrap();
    let t = Instant::now();
    let e = client.shards().await.unwrap_err();
    println!("no directory: {} {e:?} {:?}", e.is_transient(), t.elapsed());
    println!("READY");
    std::io::stdin().read_line(&mut l).unwrap();
    let t = Instant::now();
    let e = client.shards().await.unwrap_err();
    println!("no nats: {} {e:?} {:?}", e.is_transient(), t.elapsed());
}
