//! x
use sluice_protocol::{Bounds, Protocol, Variant};
use stateright::{Checker, Model, HasDiscoveries};
#[test]
fn measure() {
    let e = |n: &str, d: u8| std::env::var(n).ok().and_then(|v| v.parse().ok()).unwrap_or(d);
    let bounds = Bounds { writers: e("W", 2) as usize, partitions: e("P", 1) as usize, messages: [e("N", 2), e("M", 0)], set_backs: e("S", 1), orphans: e("O", 0) == 1, trim: e("T", 1) == 1 };
    let t = std::time::Instant::now();
    let c = Protocol { bounds, variant: Variant::Right }.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).timeout(std::time::Duration::from_secs(150)).spawn_bfs().join();
    println!("{bounds:?}\n unique {} total {} depth {} in {:?}", c.unique_state_count(), c.state_count(), c.max_depth(), t.elapsed());
    for (name, path) in c.discoveries() { println!("{name}"); if c.discovery_classification(name).to_string() == "counterexample" { for (s, a) in path.into_vec() { println!("  {a:?}\n {s:?}"); } } }
}
