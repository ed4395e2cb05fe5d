//! The program itself.

use std::process::Command;

fn ingest(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_ingest")).args(args).output().expect("the program starts")
}

#[test]
fn help_shows_how_to_post_and_a_wrong_flag_is_a_usage_error() {
    let help = String::from_utf8(ingest(&["--help"]).stdout).expect("text");
    assert!(help.contains("curl") && help.contains("/person/42"), "{help}");
    let wrong = ingest(&["--no-such-flag"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--no-such-flag"));
}

#[test]
fn a_taken_port_is_an_error_that_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let failed = ingest(&["--listen", &address]);
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
}
