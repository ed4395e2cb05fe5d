//! The least rights, by the very statements of docs/DATABASES.md.

use std::{fs, path::Path};

use futures::TryStreamExt;
use secrecy::ExposeSecret;
use sluice_model::Partition;
use sluice_shard::{Counts, Identity, Shard, ShardAddress, StoredPosition, rebind, register};
use sqlx::{ConnectOptions, Executor, mysql::MySqlConnectOptions};

use crate::{
    mariadb_server::OPERATOR,
    support::{Fixture, append, at, identity, named, names, numbered, stored},
};

/// The statements below a heading of the section about rights.
fn documented(engine: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/DATABASES.md");
    let page = fs::read_to_string(page).unwrap();
    let section = page.split("## Least rights").nth(1).expect("the section is there");
    let below = section.split(&format!("### {engine}")).nth(1).expect("the engine has a heading");
    let block = below.split("```sql\n").nth(1).expect("statements follow").split("```").next().unwrap();
    block.to_owned()
}

/// All that is ever done with a shard.
async fn everything_works(fixture: &Fixture, address: &ShardAddress) {
    let starts = [at(0, 0), at(1, 0)];
    register(address, &identity(), &starts).await.unwrap();
    register(address, &identity(), &starts).await.unwrap();
    let mut shard = Shard::connect(address, &identity()).await.unwrap();
    append(&mut shard, &numbered(0, 5)).await;
    append(&mut shard, &numbered(5, 1_000)).await;
    append(&mut shard, &named(1_005, ["Łódź 👩‍🚀"])).await;
    assert_eq!((stored(&mut shard).await, names(&mut shard).await.len()), (1_006, 1_006));
    assert_eq!(shard.counts().await.unwrap(), Counts { rows: 1_006, customers: 1 });
    assert_eq!(shard.all_customers().await.unwrap(), ["42"]);
    assert_eq!(shard.ids().try_collect::<Vec<_>>().await.unwrap().len(), 1_006);
    shard.size().await.unwrap();
    shard.close().await;
    let journal = Identity { journal_id: "journal-2".into(), ..identity() };
    let later = StoredPosition { position: at(0, 2_000), stamp: 7 };
    rebind(address, &identity(), &journal, &[later]).await.unwrap();
    let mut shard = Shard::connect(address, &journal).await.unwrap();
    assert_eq!(shard.positions().await.unwrap()[&Partition::new(0)], later);
    fixture.admin("DROP TABLE sluice_shard").await;
    // It had no right to make one.
    let refused = register(address, &journal, &starts).await.unwrap_err();
    let mut said = refused.source.to_string();
    assert!(said.contains("sluice_shard") && said.contains("Least rights"), "{said}");
    said = refused.source.source().expect("what the database said").to_string();
    assert!(said.contains("denied"), "{said}");
}

#[tokio::test]
async fn a_postgres_user_with_the_documented_rights_registers_and_runs() {
    let fixture = Fixture::postgres().await;
    fixture.admin(&documented("PostgreSQL")).await;
    let address = ShardAddress {
        user: "sluice_writer".into(),
        password: "change-me".to_owned().into(),
        ..fixture.address.clone()
    };
    everything_works(&fixture, &address).await;
}

#[tokio::test]
async fn a_mariadb_user_with_the_documented_rights_registers_and_runs() {
    let fixture = Fixture::mysql().await;
    let statements = documented("MySQL and MariaDB").replace("people.", &format!("{}.", fixture.address.database));
    let ShardAddress { host, port, password, .. } = &fixture.address;
    let operator = MySqlConnectOptions::new().host(host).port(*port).username(OPERATOR);
    let mut operator = operator.password(password.expose_secret()).connect().await.unwrap();
    operator.execute(sqlx::raw_sql(&statements)).await.unwrap();
    let address = ShardAddress {
        user: "sluice_writer".into(),
        password: "change-me".to_owned().into(),
        ..fixture.address.clone()
    };
    everything_works(&fixture, &address).await;
}
