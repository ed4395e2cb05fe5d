//! The program itself.

use std::process::Command;

fn loadgen(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen")).args(args).output().expect("the program starts")
}

#[test]
fn help_teaches_every_command_and_a_wrong_flag_is_a_usage_error() {
    let help = String::from_utf8(loadgen(&["--help"]).stdout).expect("text");
    assert!(["run", "compare", "verify"].iter().all(|command| help.contains(command)), "{help}");
    assert_eq!(loadgen(&["run", "--via", "pigeon"]).status.code(), Some(2));
}
