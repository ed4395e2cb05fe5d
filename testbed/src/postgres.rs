//! A real PostgreSQL server with its own data folder, for as long as somebody holds a [`Postgres`].
//!
//! The server is the child of a small shell that waits for two things: the server's end, and the end of whoever started
//! it (its standard input closes then, even after a `kill -9`). So no server is ever left behind.
//!
//! `initdb` and `postgres` refuse to run as root: then they run as the user `postgres`, or `nobody`.
//!
//! It stands alone in this crate (no `crate::`), since the tests of the shard crate include this very file.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, geteuid},
};
use secrecy::{ExposeSecret, SecretString};
use sluice_shard::{Flavor, ShardAddress};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

/// The superuser of every server made here.
const USER: &str = "sluice";
/// A server that has not come up by then never will.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a fast shutdown may take before it becomes an immediate one.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at something that another process does.
const LOOK: Duration = Duration::from_millis(20);

/// Starts the server given as arguments, says its pid, and waits for its end; a watcher ends it when our input closes.
const KEEPER: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- >>"$SLUICE_LOG" 2>&1 & server=$!
echo "$server"
{ while read -r _ <&3; do :; done; kill -INT "$server"; } 2>/dev/null & watcher=$!
wait "$server"; status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"#;

/// A running PostgreSQL server. Dropping it ends the server; its folder stays.
pub struct Postgres {
    port: u16,
    password: SecretString,
    cluster: Cluster,
    running: Option<Running>,
}

/// The server's process and the shell that keeps it.
struct Running {
    keeper: Child,
    pid: Pid,
}

/// Where the server's data are, and how it is run.
#[derive(Clone)]
struct Cluster {
    programs: Programs,
    dir: PathBuf,
    durable: bool,
    /// Who runs it, where we are root.
    user: Option<User>,
}

/// The two programs of one installation.
#[derive(Clone)]
struct Programs {
    initdb: PathBuf,
    postgres: PathBuf,
}

impl Postgres {
    /// Makes a server's folder, unless `dir` holds one already, and starts the server on 127.0.0.1.
    ///
    /// Port 0 means any that is free. Only a `durable` server's data outlive a power failure; all outlive a `kill -9`.
    pub async fn start(dir: PathBuf, port: u16, durable: bool) -> anyhow::Result<Self> {
        let programs = Programs::find_or_install()?;
        let user = if geteuid().is_root() { Some(unprivileged_user()?) } else { None };
        let cluster = Cluster { programs, dir, durable, user };
        let password = cluster.prepare()?;
        // A free port may be taken by another process before our server has it: then another one is tried.
        let attempts = if port == 0 { 5 } else { 1 };
        let mut failure = None;
        for _ in 0..attempts {
            let port = if port == 0 { free_port()? } else { port };
            let mut server = Self { port, password: password.clone(), cluster: cluster.clone(), running: None };
            match server.restart().await {
                Ok(()) => return Ok(server),
                Err(e) => failure = Some(e),
            }
        }
        Err(failure.expect("at least one attempt was made"))
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server's first process; 0 while it is stopped.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().map_or(0, |running| running.pid.as_raw().unsigned_abs())
    }

    /// How a shard in this database is reached.
    pub fn address(&self, database: &str) -> ShardAddress {
        ShardAddress {
            flavor: Flavor::Postgres,
            host: "127.0.0.1".into(),
            port: self.port,
            user: USER.into(),
            password: self.password.clone(),
            database: database.into(),
        }
    }

    /// Makes an empty database.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<()> {
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        ensure!(plain && !name.is_empty(), "a database's name here is of a-z, 0-9 and '_', not {name:?}");
        let mut connection = self.connect("postgres").await?;
        sqlx::raw_sql(&format!("CREATE DATABASE {name}")).execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// Ends the server in order: clients are cut off, data are written.
    pub fn stop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        for (signal, limit) in
            [(Signal::SIGINT, STOP_LIMIT), (Signal::SIGQUIT, STOP_LIMIT), (Signal::SIGKILL, STOP_LIMIT)]
        {
            if running.ended() {
                return;
            }
            // The keeper has not ended, so this pid is still the server's.
            let _ = kill(running.pid, signal);
            let deadline = Instant::now() + limit;
            while !running.ended() && Instant::now() < deadline {
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Ends the server as a crash does: `kill -9`, nothing is written.
    pub fn kill(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        if !running.ended() {
            let _ = kill(running.pid, Signal::SIGKILL);
            let _ = running.keeper.wait();
        }
    }

    /// Starts the server again on the same port and data; stops it first where it runs.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        let deadline = Instant::now() + START_LIMIT;
        loop {
            self.running = Some(self.cluster.spawn(self.port)?);
            let Some(status) = self.answers_or_ended(deadline).await? else { return Ok(()) };
            self.running = None;
            // Processes of a killed server linger for a moment, and keep a new one from its data.
            let lingering = self.cluster.log_tail().contains("pre-existing shared memory block");
            if !lingering || Instant::now() >= deadline {
                bail!("PostgreSQL ended while starting ({status}):\n{}", self.cluster.log_tail());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the server lets us in (`None`), or has ended by itself.
    async fn answers_or_ended(&mut self, deadline: Instant) -> anyhow::Result<Option<std::process::ExitStatus>> {
        loop {
            let Some(running) = &mut self.running else { bail!("the server is stopped") };
            if let Some(status) = running.keeper.try_wait()? {
                return Ok(Some(status));
            }
            let failed = match self.connect("postgres").await {
                Ok(connection) => {
                    connection.close().await?;
                    return Ok(None);
                }
                Err(e) => e,
            };
            if Instant::now() >= deadline {
                return Err(failed.context(format!("PostgreSQL does not answer:\n{}", self.cluster.log_tail())));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn connect(&self, database: &str) -> anyhow::Result<PgConnection> {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username(USER)
            .password(self.password.expose_secret())
            .database(database);
        let connecting = tokio::time::timeout(Duration::from_secs(10), PgConnection::connect_with(&options));
        Ok(connecting.await.context("PostgreSQL took more than 10 s to let us in")??)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Running {
    /// The keeper lives exactly as long as the server.
    fn ended(&mut self) -> bool {
        !matches!(self.keeper.try_wait(), Ok(None))
    }
}

impl Cluster {
    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    /// Makes what is missing, and gives the superuser's password (kept beside the data, for the next start).
    fn prepare(&self) -> anyhow::Result<SecretString> {
        fs::create_dir_all(&self.dir).with_context(|| format!("cannot make {}", self.dir.display()))?;
        if let Some(user) = &self.user {
            chown(&self.dir, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
            open_the_way(&self.dir)?;
        }
        let password_file = self.dir.join("password");
        if self.data().join("PG_VERSION").exists() {
            let password = fs::read_to_string(&password_file).context("the server's password file is missing")?;
            return Ok(password.trim_end().into());
        }
        let password = random_password()?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&password_file)?;
        writeln!(file, "{password}")?;
        if let Some(user) = &self.user {
            chown(&password_file, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        self.initdb(&password_file)?;
        Ok(password.into())
    }

    fn initdb(&self, password_file: &Path) -> anyhow::Result<()> {
        let mut initdb = self.command(&self.programs.initdb);
        initdb.args(["--username", USER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
        initdb.arg("--pwfile").arg(password_file).arg("--pgdata").arg(self.data());
        if !self.durable {
            initdb.arg("--no-sync");
        }
        let made = initdb.output().with_context(|| format!("cannot run {}", self.programs.initdb.display()))?;
        if !made.status.success() {
            bail!("initdb failed ({}):\n{}", made.status, String::from_utf8_lossy(&made.stderr));
        }
        Ok(())
    }

    fn spawn(&self, port: u16) -> anyhow::Result<Running> {
        // Each start has a log of its own, so that what it says is about this start.
        let log = File::create(self.log())?;
        if let Some(user) = &self.user {
            chown(self.log(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        drop(log);
        let mut keeper = self.command(Path::new("/bin/sh"));
        keeper.args(["-c", KEEPER, "postgres-keeper"]).arg(&self.programs.postgres).arg("-D").arg(self.data());
        let on_or_off = if self.durable { "on" } else { "off" };
        let settings = [
            "listen_addresses=127.0.0.1".into(),
            format!("port={port}"),
            // Over TCP alone: the path of a socket in a deep folder would be too long.
            "unix_socket_directories=".into(),
            "max_connections=200".into(),
            "shared_buffers=64MB".into(),
            format!("fsync={on_or_off}"),
            format!("full_page_writes={on_or_off}"),
        ];
        for setting in settings {
            keeper.arg("-c").arg(setting);
        }
        keeper.env("SLUICE_LOG", self.log()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Ctrl-C at a terminal is for us, who then end the server when nobody needs it any more.
        let mut keeper = keeper.process_group(0).spawn().context("cannot run /bin/sh")?;
        let said = keeper.stdout.take().context("the keeper has no output")?;
        let mut pid = String::new();
        BufReader::new(said).read_line(&mut pid)?;
        let pid = Pid::from_raw(pid.trim().parse().context("the keeper did not say the server's pid")?);
        Ok(Running { keeper, pid })
    }

    /// A command that runs as the server's user, in a folder that this user can read.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.dir).env("LC_ALL", "C");
        for inherited in ["PGDATA", "PGPORT", "PGHOST", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGOPTIONS"] {
            command.env_remove(inherited);
        }
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Programs {
    fn find_or_install() -> anyhow::Result<Self> {
        if let Some(found) = Self::find() {
            return Ok(found);
        }
        if geteuid().is_root() {
            // Whether it failed is seen by looking again.
            for arguments in [&["update"][..], &["install", "-y", "--no-install-recommends", "postgresql"]] {
                let _ = Command::new("apt-get").args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).status();
            }
        }
        Self::find().context(
            "no PostgreSQL server here: `initdb` and `postgres` are neither on PATH nor in /usr/lib/postgresql/*/bin. \
             Install it, on Debian and Ubuntu by `apt-get install postgresql`, on Fedora by `dnf install \
             postgresql-server`, on macOS by `brew install postgresql`",
        )
    }

    /// PATH first, then Debian's folders, the newest version first.
    fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
            })
            .collect();
        versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        std::env::split_paths(&path).chain(versions.into_iter().map(|(_, bin)| bin)).find_map(|bin| {
            let found = Self { initdb: bin.join("initdb"), postgres: bin.join("postgres") };
            (found.initdb.is_file() && found.postgres.is_file()).then_some(found)
        })
    }
}

fn unprivileged_user() -> anyhow::Result<User> {
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(user);
        }
    }
    bail!("PostgreSQL does not run as root, and there is neither a user `postgres` nor a user `nobody`")
}

/// Lets the server's user pass through the folders above its own, as far as they are ours to change: those made below
/// the folder for temporary files, which come closed to everybody else.
fn open_the_way(dir: &Path) -> anyhow::Result<()> {
    let temporary = std::env::temp_dir().canonicalize()?;
    for folder in dir.canonicalize()?.ancestors().skip(1) {
        let mode = fs::metadata(folder)?.mode();
        if mode & 0o001 != 0 {
            continue;
        }
        if folder.starts_with(&temporary) && folder != temporary {
            fs::set_permissions(folder, Permissions::from_mode((mode & 0o7777) | 0o011))?;
        } else {
            bail!(
                "{} cannot be entered by PostgreSQL, which does not run as root: choose another folder",
                folder.display()
            );
        }
    }
    Ok(())
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn random_password() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    std::io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
