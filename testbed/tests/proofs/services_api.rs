//! What `nats micro` sees of the directory.

use serde_json::Value;
use sluice_shard::Flavor;
use sluice_testbed::FleetOptions;

use crate::fleet;

#[tokio::test]
async fn info_and_stats_requests_list_each_of_the_directorys_endpoints() {
    let fleet = fleet(Flavor::Sqlite, FleetOptions::default()).await;
    let client = fleet.nats_client().await.unwrap();
    let ask = async |subject: &str| -> Value {
        let answer = client.request(subject.to_owned(), "".into()).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    };
    let wanted = [
        ("read", "directory.read.*"),
        ("routes-read", "directory.routes.read"),
        ("routes-write", "directory.routes.write"),
        ("shards", "directory.shards"),
        ("write", "directory.write.*"),
    ];
    for subject in ["$SRV.INFO", "$SRV.INFO.directory", "$SRV.STATS.directory"] {
        let told = ask(subject).await;
        assert_eq!(told["name"], "directory");
        let endpoints = told["endpoints"].as_array().unwrap();
        let text = |endpoint: &Value, field: &str| endpoint[field].as_str().unwrap().to_owned();
        let mut found: Vec<_> = endpoints.iter().map(|one| (text(one, "name"), text(one, "subject"))).collect();
        found.sort();
        assert_eq!(found, wanted.map(|(name, subject)| (name.to_owned(), subject.to_owned())), "{subject}");
    }
    let requests = async || {
        let told = ask("$SRV.STATS.directory").await;
        let endpoints = told["endpoints"].as_array().unwrap().clone();
        endpoints.iter().find(|one| one["name"] == "read").unwrap()["num_requests"].as_u64().unwrap()
    };
    let before = requests().await;
    client.request("directory.read.1", "".into()).await.unwrap();
    assert_eq!(requests().await, before + 1);
}
