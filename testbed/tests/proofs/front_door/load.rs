//! The load generator against the real thing: what it offers twice, offers malformed, and waits for.

use serde_json::Value;
use sluice_testbed::{Fleet, NatsUser};

use super::door;

/// A run with these further arguments, as the operator, whose inbox the writer may answer to.
async fn offered(fleet: &Fleet, account: &str, args: &str) -> Value {
    let url = fleet.ingest_url();
    let run = ["run", "--json", "--url", &url, "--account", account];
    let args: Vec<_> = run.into_iter().chain(args.split_whitespace()).collect();
    fleet.loadgen(NatsUser::Operator, &args).await.unwrap()
}

#[tokio::test]
async fn what_a_run_offered_twice_or_malformed_is_what_the_verifier_finds_and_a_row_by_hand_is_found_too() {
    let fleet = door(&[]).await;
    let file = |name: &str| fleet.folder().join(name).to_str().unwrap().to_owned();
    let accounts = ["single.json", "bulk.json", "nats.json"].map(file);
    let common = "--customers 20 --zipf 1.1 --bad 7 --commit-every 10";
    let single = offered(&fleet, &accounts[0], &format!("--count 1500 --publish-twice 5 {common}")).await;
    let bulk =
        offered(&fleet, &accounts[1], "--seed 2 --count 3000 --lines 100 --mixed-lines --bad 9 --customers 20").await;
    let nats =
        offered(&fleet, &accounts[2], &format!("--seed 3 --via nats --count 1500 --publish-twice 5 {common}")).await;
    for run in [&single, &bulk, &nats] {
        assert_eq!(run["failed"], 0, "{run:#}");
    }
    // Every seventh of 1,500; every ninth of 3,000.
    assert_eq!((&single["accepted"], &single["rejected"]), (&1_286.into(), &214.into()), "{single:#}");
    assert_eq!((&bulk["accepted"], &bulk["rejected"]), (&2_667.into(), &333.into()), "{bulk:#}");
    assert_eq!((&nats["accepted"], &nats["bad_published"]), (&1_286.into(), &214.into()), "{nats:#}");
    for run in [&single, &nats] {
        assert!(
            run["commits"]["latency_us"]["p50"].as_u64().unwrap() > 0 && run["latency_us"]["p50"].as_u64().unwrap() > 0,
            "{run:#}"
        );
    }
    let verify = ["verify", "--json", "--account", &accounts[0], "--account", &accounts[1], "--account", &accounts[2]];
    let verified = fleet.loadgen(NatsUser::Operator, &verify).await.unwrap();
    assert!(verified["ok"] == true && verified["dead_letters"] == 214, "{verified:#}");
    assert_eq!(crate::all_rows(&fleet).await, 1_286 + 2_667 + 1_286);
    // One account less: then there are rows that nobody speaks for.
    let verified = fleet.loadgen(NatsUser::Operator, &verify[..6]).await.unwrap();
    assert_eq!(verified["ok"], false, "{verified:#}");
}
