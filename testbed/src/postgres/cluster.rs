//! The server's folder and its process.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::{
        fs::{OpenOptionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use nix::{sys::signal::Signal, unistd::User};
use secrecy::SecretString;

use super::{
    USER,
    kept::{Running, make_folder, random_password, tail},
    programs::Programs,
};

/// Where the server's data are, and how it is run.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) programs: Programs,
    pub(super) dir: PathBuf,
    pub(super) durable: bool,
    /// Who runs it, where we are root.
    pub(super) user: Option<User>,
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
        make_folder(&self.dir, self.user.as_ref())?;
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
        let on_or_off = if self.durable { "on" } else { "off" };
        let mut server =
            [&self.programs.postgres, Path::new("-D"), &self.data()].map(|part| part.display().to_string()).to_vec();
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
            server.extend(["-c".to_owned(), setting]);
        }
        let shell = self.command(Path::new("/bin/sh"));
        Running::start(shell, self.user.as_ref(), &self.log(), Signal::SIGINT, &server)
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

    pub(super) fn limit_files(&self, running: &Running, bytes: Option<u64>) -> anyhow::Result<()> {
        running.limit_files(bytes, |program| self.command(program))
    }

    pub(super) fn whole_log(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    pub(super) fn log_tail(&self) -> String {
        tail(&self.whole_log())
    }
}
