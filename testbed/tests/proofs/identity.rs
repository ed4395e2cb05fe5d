//! A database says who it is: two entries never reach the same one, and none is written under another's name.

use sluice_shard::{Flavor, ShardAddress};
use sluice_testbed::{Fleet, FleetOptions, FleetShard, proxy::Proxy, rows, wait};

use crate::{
    LIMIT, connect, fleet, one_full_partition,
    under_load::{
        all_is_well_again, begin, every_row_is_there, go_on, load, only_the_third_is_in_trouble, three_full_shards,
    },
};

async fn a_second_entry_for_the_same_database_is_refused(shards: Flavor) {
    let fleet = three_full_shards(shards).await;
    let traffic = load(&fleet, 20).await;
    let third = &fleet.shards()[2].address;
    go_on(&[third]).await;
    let admin = fleet.admin().unwrap();
    let again = FleetShard { name: "again".to_owned(), address: third.clone() };
    let refused = format!("{:#}", admin.register(&[again]).await.unwrap_err());
    assert!(refused.contains("422") && refused.contains("shard_refused") && refused.contains("shard3"), "{refused}");
    assert!(!admin.shard_names().await.unwrap().contains("again"));
    let refused = format!("{:#}", admin.place("4", "again").await.unwrap_err());
    assert!(refused.contains("404"), "{refused}");
    go_on(&[third]).await;
    let sent = traffic.stop().await.unwrap();
    every_row_is_there(&fleet, third, &sent).await;
}

#[tokio::test]
async fn a_second_entry_for_the_same_sqlite_file_is_refused_and_the_shard_goes_on() {
    a_second_entry_for_the_same_database_is_refused(Flavor::Sqlite).await;
}

#[tokio::test]
async fn a_second_entry_for_the_same_postgres_database_is_refused_and_the_shard_goes_on() {
    a_second_entry_for_the_same_database_is_refused(Flavor::Postgres).await;
}

#[tokio::test]
async fn a_second_entry_for_the_same_mysql_database_is_refused_and_the_shard_goes_on() {
    a_second_entry_for_the_same_database_is_refused(Flavor::Mysql).await;
}

#[tokio::test]
async fn a_shard_whose_address_leads_to_another_shards_database_gets_no_row_there_and_delays_no_other() {
    let options = FleetOptions { shard_count: 2, ..one_full_partition() };
    let mut fleet = fleet(Flavor::Postgres, options).await;
    // Two databases of one name on two servers, whom one user with one password may enter: only what they hold tells them apart.
    let mut addresses = Vec::new();
    for server in fleet.servers() {
        server.create_database("shard3").await.unwrap();
        let address = server.address("shard3");
        let user = "CREATE ROLE tenant SUPERUSER LOGIN PASSWORD 'the same'";
        sqlx::raw_sql(user).execute(&mut connect(&address).await).await.unwrap();
        addresses.push(ShardAddress { user: "tenant".to_owned(), password: "the same".into(), ..address });
    }
    let proxy = Proxy::before(addresses[1].port).await.unwrap();
    let third = ShardAddress { port: proxy.port(), ..addresses[1].clone() };
    let third = FleetShard { name: "shard3".to_owned(), address: third };
    let twin = FleetShard { name: "twin".to_owned(), address: addresses[0].clone() };
    let admin = fleet.admin().unwrap();
    admin.register(&[third.clone(), twin.clone()]).await.unwrap();
    for (customer, shard) in ["1", "2", "3"].iter().zip(["shard1", "shard2", "shard3"]) {
        admin.place(customer, shard).await.unwrap();
    }
    let lanes = fleet.watch_lanes(0);
    let traffic = load(&fleet, 20).await;
    begin(&[&third.address]).await;

    proxy.lead_to(twin.address.port);
    only_the_third_is_in_trouble(&fleet, &lanes, "cannot verify the shard's identity (configuration)").await;
    assert!(lanes.told("shard3", "twin"), "{:?}", lanes.seen("shard3"));
    assert_eq!(rows::count(&twin.address).await.unwrap().rows, 0);
    proxy.lead_to(addresses[1].port);
    all_is_well_again(&fleet, &third.address, traffic).await;
}

/// Each of the two files in the place of the other, while nobody has one of them open.
fn swap(one: &ShardAddress, other: &ShardAddress) {
    let spare = format!("{}.spare", one.database);
    for (from, to) in [(&one.database, &spare), (&other.database, &one.database), (&spare, &other.database)] {
        for side in ["-wal", "-shm"] {
            assert!(!std::fs::exists(format!("{from}{side}")).unwrap(), "{from} has not been closed");
        }
        std::fs::rename(from, to).unwrap();
    }
}

/// Closed by the last who has it open, a file has nothing beside it.
async fn closed(fleet: &Fleet, shards: &[usize]) {
    for shard in shards {
        rows::count(&fleet.shards()[*shard].address).await.unwrap();
    }
}

#[tokio::test]
async fn two_sqlite_files_that_were_mixed_up_get_no_row_until_they_are_put_right_and_the_third_shard_goes_on() {
    let mut fleet = three_full_shards(Flavor::Sqlite).await;
    let [one, two, three] = [0, 1, 2].map(|shard| fleet.shards()[shard].address.clone());
    let traffic = load(&fleet, 20).await;
    begin(&[&one, &two, &three]).await;
    fleet.writer().kill();
    closed(&fleet, &[1, 2]).await;
    swap(&two, &three);
    let before = [rows::count(&two).await.unwrap(), rows::count(&three).await.unwrap()];
    fleet.writer().restart().await.unwrap();

    let lanes = fleet.watch_lanes(0);
    let both =
        async || ["shard2", "shard3"].iter().all(|shard| lanes.told(shard, "cannot verify the shard's identity"));
    wait::until("two lanes that refuse their files", LIMIT, both).await.unwrap();
    go_on(&[&one]).await;
    assert_eq!([rows::count(&two).await.unwrap(), rows::count(&three).await.unwrap()], before);
    // The lanes try again and again, each time for a moment: frozen, they have nothing open.
    loop {
        fleet.writer().freeze();
        closed(&fleet, &[1, 2]).await;
        if [&two, &three].iter().all(|shard| !std::fs::exists(format!("{}-wal", shard.database)).unwrap()) {
            break;
        }
        fleet.writer().thaw();
    }
    swap(&two, &three);
    fleet.writer().thaw();
    all_is_well_again(&fleet, &three, traffic).await;
}
