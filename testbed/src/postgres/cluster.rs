//! The server's folder and its process.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    os::unix::{
        fs::{OpenOptionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, bail};
use nix::unistd::{Pid, User};
use secrecy::SecretString;

use super::{
    USER,
    programs::{Programs, open_the_way},
};

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

/// Where the server's data are, and how it is run.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) programs: Programs,
    pub(super) dir: PathBuf,
    pub(super) durable: bool,
    /// Who runs it, where we are root.
    pub(super) user: Option<User>,
}

/// The server's process and the shell that keeps it.
pub(super) struct Running {
    pub(super) keeper: Child,
    pub(super) pid: Pid,
}

impl Cluster {
    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("postgres.log")
    }

    /// Makes what is missing, and gives the superuser's password (kept beside the data, for the next start).
    pub(super) fn prepare(&self) -> anyhow::Result<SecretString> {
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

    pub(super) fn spawn(&self, port: u16) -> anyhow::Result<Running> {
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

    pub(super) fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Running {
    /// The keeper lives exactly as long as the server.
    pub(super) fn ended(&mut self) -> bool {
        !matches!(self.keeper.try_wait(), Ok(None))
    }
}

fn random_password() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
