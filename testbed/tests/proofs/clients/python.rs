//! The guide's example in Python, run as it stands there.

use sluice_testbed::{NatsUser, tool};
use tokio::process::Command;

use super::{GUIDE, small_fleet};
use crate::all_rows;

/// The client library, as pip takes it: this file and no other.
const LIBRARY: &str = "nats-py==2.16.0 --hash=sha256:aeb1ff123966c05833d26c7df7e1d54c1c6d32b612428b21677a2e921f1fecae";

/// The first block of a language after a heading.
fn example(heading: &str, language: &str) -> &'static str {
    let (_, rest) = GUIDE.split_once(heading).unwrap();
    let (_, rest) = rest.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("\n```").unwrap().0
}

#[tokio::test]
async fn the_guides_example_in_python_stores_its_event_once() {
    let fleet = small_fleet().await;
    let folder = fleet.folder();
    let (library, requirement, script) =
        (folder.join("python"), folder.join("requirement.txt"), folder.join("publish.py"));
    std::fs::write(&requirement, LIBRARY).unwrap();
    std::fs::write(&script, example("### Python", "python")).unwrap();
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"];
    let mut install = Command::new("python3");
    install.args(pip).arg("--target").arg(&library).arg("-r").arg(&requirement);
    tool::quietly(&mut install).await.unwrap();
    let mut said = Vec::new();
    for _ in 0..2 {
        let mut run = Command::new("python3");
        fleet.login(NatsUser::Publisher).give_to(&mut run);
        let done = tool::output(run.arg(&script).env("PYTHONPATH", &library)).await.unwrap();
        assert!(done.status.success(), "{}", done.stdout);
        said.push(done.stdout.trim().to_owned());
    }
    assert!(said[0].ends_with("stored") && said[1].ends_with("stored before"), "{said:?}");
    assert!(fleet.verify().await.unwrap().ok);
    assert_eq!(all_rows(&fleet).await, 1);
}
