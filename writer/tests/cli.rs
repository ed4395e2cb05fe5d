//! The program itself.

use std::process::Command;

fn writer(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_writer")).args(args).output().expect("the program starts")
}

#[test]
fn help_says_of_every_knob_what_too_low_and_too_high_do() {
    let help = String::from_utf8(writer(&["run", "--help"]).stdout).expect("text");
    for knob in ["--workers", "--lane-queue-bytes", "--idle-advance-ms", "--lane-patience-ms"] {
        let about = help.split(knob).nth(1).expect("the knob is there");
        assert!(about.contains("Too low") || about.contains("Too few"), "{knob}: {help}");
        assert!(about.contains("Too high") || about.contains("Too many"), "{knob}: {help}");
    }
}

#[test]
fn a_number_of_workers_that_cannot_be_is_a_usage_error() {
    for workers in ["0", "513", "x"] {
        assert_eq!(writer(&["run", "--workers", workers]).status.code(), Some(2), "{workers}");
    }
}
