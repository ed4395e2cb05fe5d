//! What our programs say when they start, and when they cannot; who reads that, and who does not.

use std::{
    fs::File,
    io::PipeWriter,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use sluice_journal::Settings;
use sluice_model::PartitionCount;
use sluice_testbed::{binaries::Binaries, nats_server::NatsServer, ports::loopback, wait};
use tokio::process::{Child, Command};

use crate::LIMIT;

/// A user and a password as they may stand in a URL.
const CANARY: &str = "canary-51c2";

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A pipe whose reader has gone away.
pub(crate) fn closed_pipe() -> PipeWriter {
    std::io::pipe().unwrap().1
}

/// A program of ours with nothing in its environment but this. It is killed when it is dropped.
pub(crate) fn program(binaries: &Binaries, line: &str, env: &[(&str, &str)]) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(binaries.path(words.next().unwrap()));
    command.args(words).env_clear().envs(env.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A service whose log is a file.
struct Service {
    _child: Child,
    log: PathBuf,
    url: String,
}

impl Service {
    fn start(binaries: &Binaries, folder: &Path, line: &str, env: &[(&str, &str)]) -> Self {
        let address = loopback(free_port());
        let mut command = program(binaries, &format!("{line} --listen {address}"), env);
        let log = folder.join(format!("{}.log", address.port()));
        let child = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
        Self { _child: child, log, url: format!("http://{address}") }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    async fn says(&self, text: &str) {
        let said = wait::until(text, LIMIT, async || self.log().contains(text)).await;
        said.unwrap_or_else(|error| panic!("{error}: {}", self.log()));
    }

    async fn get(&self, path: &str) -> Option<String> {
        reqwest::get(format!("{}{path}", self.url)).await.ok()?.text().await.ok()
    }
}

#[tokio::test]
async fn each_service_says_what_it_was_told_and_names_variables_with_a_typo_and_no_secret() {
    let (binaries, folder) = (Binaries::built().await.unwrap(), tempfile::tempdir().unwrap());
    let nats = free_port();
    let url = format!("nats://{CANARY}:{CANARY}@127.0.0.1:{nats}");
    let common = [("NATS_URL", url.as_str()), ("SHARDING_TOKEN", CANARY), ("NO_COLOR", "")];
    let meta = format!("sqlite://{}", folder.path().join("meta.db").display());
    let directory = format!("directory serve --insecure --meta {meta}");
    for (line, variable, meant, setting) in [
        ("writer run --workers 3", "SHARDING_MOD", "did you mean SHARDING_MODE?", "sharding-mode=nats"),
        ("ingest", "INGEST_TOKEN", "did you mean INGEST_TOKENS?", "journal-max-bytes=1073741824"),
        (directory.as_str(), "DIRECTORY_PLACEMNT", "did you mean DIRECTORY_PLACEMENT?", "placement=auto"),
    ] {
        let service = Service::start(&binaries, folder.path(), line, &[&common[..], &[(variable, "x")]].concat());
        let address = format!("nats://127.0.0.1:{nats} (");
        service.says(&address).await;
        let log = service.log();
        for wanted in [variable, meant, setting, "settings:", "Connection refused"] {
            assert!(log.contains(wanted), "{wanted:?} is not in {log}");
        }
        assert!(!log.contains(CANARY) && !log.contains('\u{1b}'), "{log}");
        assert!(log.contains("it could not be checked whether NATS acknowledges"), "{log}");
    }
}

#[tokio::test]
async fn while_nats_is_away_a_service_says_so_in_one_line_with_address_and_reason_and_not_all_the_time() {
    let (binaries, folder) = (Binaries::built().await.unwrap(), tempfile::tempdir().unwrap());
    let url = format!("nats://127.0.0.1:{}", free_port());
    let service = Service::start(&binaries, folder.path(), "ingest", &[("NATS_URL", &url)]);
    service.says("Connection refused").await;
    // Six attempts or more.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let log = service.log();
    let about_nats: Vec<_> =
        log.lines().filter(|line| line.contains("NATS") || line.contains("nats") || line.contains("journal")).collect();
    let told = about_nats.iter().filter(|line| line.contains(&url) && line.contains("refused")).count();
    // Beside it: the settings, and that nothing is known about the disks.
    assert!(told == 1 && about_nats.len() <= 3, "{log}");
}

#[tokio::test]
async fn what_goes_wrong_at_start_is_one_line_without_a_stack_and_the_same_exit_status_everywhere() {
    let (binaries, folder) = (Binaries::built().await.unwrap(), tempfile::tempdir().unwrap());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("--listen {}", taken.local_addr().unwrap());
    let broken = folder.path().join("tokens");
    std::fs::write(&broken, "nonsense\n").unwrap();
    let (broken, missing) = (broken.display(), folder.path().join("no/such/file").display().to_string());
    let cases = [
        (format!("ingest {listen}"), "cannot listen on"),
        (format!("writer run {listen}"), "cannot listen on"),
        (format!("directory serve --insecure {listen}"), "cannot listen on"),
        ("ingest --listen 127.0.0.1:0 --log [".to_owned(), "RUST_LOG"),
        ("writer run --listen 127.0.0.1:0 --nats-url http://a:1".to_owned(), "NATS_URL"),
        ("writer run --listen 127.0.0.1:0 --nats-monitor-url a:8222".to_owned(), "NATS_MONITOR_URL"),
        ("writer run --listen 127.0.0.1:0 --sharding-mode standalone".to_owned(), "SHARDING_DATABASE"),
        (format!("ingest --listen 127.0.0.1:0 --tokens {broken}"), "line 1"),
        (format!("ingest --listen 127.0.0.1:0 --tokens {missing}"), "no/such/file"),
        (format!("ingest --listen 127.0.0.1:0 --tls-cert {broken} --tls-key {broken}"), "tokens"),
        (format!("directory serve --listen 127.0.0.1:0 --admin-token-file {broken}"), "--admin-token-file"),
        (format!("directory serve --listen 127.0.0.1:0 --insecure --meta sqlite://{missing}"), "no/such/file"),
    ];
    for (line, wanted) in cases {
        let env = [("RUST_BACKTRACE", "1"), ("RUST_LOG", "error"), ("NATS_URL", "nats://127.0.0.1:1")];
        let done = tokio::time::timeout(LIMIT, program(&binaries, &line, &env).output()).await;
        let done = done.unwrap_or_else(|_| panic!("{line} does not end")).unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        let name = line.split(' ').next().unwrap();
        assert_eq!((done.status.code(), said.lines().count()), (Some(1), 1), "{line}: {said}");
        assert!(said.starts_with(&format!("{name}: ")) && said.contains(wanted), "{line}: {said}");
    }
}

#[tokio::test]
async fn a_service_whose_log_nobody_reads_works_on() {
    let (binaries, folder) = (Binaries::built().await.unwrap(), tempfile::tempdir().unwrap());
    let meta = format!("sqlite://{}", folder.path().join("meta.db").display());
    let directory = format!("directory serve --insecure --meta {meta}");
    for line in ["ingest", "writer run", &directory] {
        let address = loopback(free_port());
        let mut command =
            program(&binaries, &format!("{line} --listen {address}"), &[("NATS_URL", "nats://127.0.0.1:1")]);
        let mut child = command.stdout(closed_pipe()).stderr(closed_pipe()).spawn().unwrap();
        let lives = async || reqwest::get(format!("http://{address}/livez")).await.is_ok();
        wait::until(&format!("{line} lives"), LIMIT, async || lives().await).await.unwrap();
        // By then it has said several times that NATS is not there.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(lives().await && child.try_wait().unwrap().is_none(), "{line} has ended");
    }
}

#[tokio::test]
async fn a_tokens_file_that_becomes_wrong_is_told_of_at_once_and_not_at_the_next_request() {
    let (binaries, folder) = (Binaries::built().await.unwrap(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name);
    let (tokens, admin) = (path("tokens"), path("admin"));
    std::fs::write(&tokens, format!("{} *\n", "0".repeat(64))).unwrap();
    std::fs::write(&admin, "admin-admin-admin-admin").unwrap();
    let directory = format!("directory serve --meta sqlite://{}", path("meta.db").display());
    for (line, file, good) in [
        (format!("ingest --tokens {}", tokens.display()), &tokens, format!("{} 1\n", "1".repeat(64))),
        (format!("{directory} --admin-token-file {}", admin.display()), &admin, "other-other-other-other".into()),
    ] {
        let service = Service::start(&binaries, folder.path(), &line, &[("NATS_URL", "nats://127.0.0.1:1")]);
        service.says("listens").await;
        std::fs::write(file, "nonsense").unwrap();
        service.says("the former tokens stay in force").await;
        assert!(service.log().lines().any(|line| line.contains("ERROR") && line.contains("former")));
        std::fs::write(file, good).unwrap();
        service.says("the tokens were read anew").await;
    }
}

#[tokio::test]
async fn what_the_journals_disk_has_is_shown_where_the_monitoring_is_named() {
    let (binaries, folder) = (Binaries::built().await.unwrap(), tempfile::tempdir().unwrap());
    for (sync_always, state) in [(true, "always"), (false, "delayed")] {
        let (folder, monitor) = (folder.path().join(state), loopback(free_port()));
        let partitions = PartitionCount::try_from(Settings::DEFAULT_PARTITIONS).unwrap();
        let mut server = NatsServer::on_free_port(&folder, partitions, sync_always).await.unwrap();
        server.monitor = Some(monitor);
        let url = server.url();
        let _nats = server.start().await.unwrap();
        let monitor = format!("http://{monitor}");
        let env = [("NATS_URL", url.as_str()), ("NATS_MONITOR_URL", monitor.as_str())];
        let ingest = Service::start(&binaries, &folder, "ingest", &env);
        let writer = Service::start(&binaries, &folder, "writer run", &env);
        let told = format!(r#""journal_disk_sync":"{state}""#);
        let shown = async || writer.get("/lanes").await.is_some_and(|lanes| lanes.contains(&told));
        wait::until(&told, LIMIT, shown).await.unwrap_or_else(|error| panic!("{error}: {}", writer.log()));
        let ready = async || ingest.get("/readyz").await.is_some_and(|body| body.contains(r#""status":"ready""#));
        wait::until("ingest is ready", LIMIT, ready).await.unwrap_or_else(|error| panic!("{error}: {}", ingest.log()));
        let warns = ingest.get("/readyz").await.unwrap().contains("sync_interval: always");
        assert_eq!((warns, ingest.log().contains("loses them in a power failure")), (!sync_always, !sync_always));
    }
}

/// How a program ends that writes to these.
pub(crate) async fn ended(command: &mut Command, stdout: Stdio, stderr: Stdio) -> (ExitStatus, String) {
    let child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
    let done = tokio::time::timeout(LIMIT, child.wait_with_output()).await.unwrap().unwrap();
    (done.status, String::from_utf8_lossy(&done.stderr).into_owned())
}

#[tokio::test]
async fn usage_and_help_go_to_a_closed_pipe_without_a_word() {
    let binaries = Binaries::built().await.unwrap();
    for line in
        ["writer --help", "ingest --help", "directory shard --help", "loadgen verify --help", "loadgen nonsense"]
    {
        let command = || program(&binaries, line, &[]);
        let (open, _) = ended(&mut command(), Stdio::null(), Stdio::null()).await;
        let (closed, said) = ended(&mut command(), closed_pipe().into(), Stdio::piped()).await;
        assert!(closed == open && !said.contains("panicked"), "{line}: {closed} {said}");
        assert_eq!(ended(&mut command(), closed_pipe().into(), closed_pipe().into()).await.0, open, "{line}");
    }
}
