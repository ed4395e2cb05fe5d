//! The program itself.

use std::process::Command;

fn directory(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_directory")).args(args).output().expect("the program starts")
}

#[test]
fn help_teaches_the_commands() {
    let help = String::from_utf8(directory(&["--help"]).stdout).expect("text");
    for command in ["serve", "shard", "customer"] {
        assert!(help.contains(command), "{command}: {help}");
    }
}

#[test]
fn without_a_directory_a_command_says_whom_it_asked_and_fails() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("it is bound").port();
    drop(free);
    let url = format!("http://127.0.0.1:{port}");
    let failed = directory(&["--directory-url", &url, "shard", "list"]);
    assert_eq!(failed.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&failed.stderr).contains("directory"), "{failed:?}");
}
