//! The server's programs, its folder and its process.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::{
        fs::{OpenOptionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use nix::{sys::signal::Signal, unistd::User};
use secrecy::{ExposeSecret, SecretString};

use super::{
    OPERATOR, USER,
    kept::{Running, install, make_folder, random_password, tail},
};

/// Where they may be beside PATH: a user's own often lacks the second.
const FOLDERS: [&str; 3] = ["/usr/bin", "/usr/sbin", "/usr/libexec"];

/// The two programs of one installation.
#[derive(Clone)]
pub(super) struct Programs {
    install_db: PathBuf,
    mariadbd: PathBuf,
}

impl Programs {
    /// Debian's two packages that hold only programs: `mariadb-server` itself would start a server of its own.
    pub(super) fn find_or_install() -> anyhow::Result<Self> {
        if let Some(found) = Self::find() {
            return Ok(found);
        }
        install(&["mariadb-server-core", "mariadb-client-core"]);
        Self::find().context(
            "no MariaDB server here: `mariadb-install-db` and `mariadbd` are neither on PATH nor in /usr/bin and /usr/sbin. \
             Install it, on Debian and Ubuntu by `apt-get install mariadb-server-core mariadb-client-core`, on Fedora by \
             `dnf install mariadb-server`, on macOS by `brew install mariadb`",
        )
    }

    fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<_> = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from)).collect();
        let find = |name| folders.iter().map(|folder| folder.join(name)).find(|program| program.is_file());
        Some(Self { install_db: find("mariadb-install-db")?, mariadbd: find("mariadbd")? })
    }
}

/// Where the server's data are, and how it is run.
#[derive(Clone)]
pub(super) struct Folder {
    pub(super) programs: Programs,
    pub(super) dir: PathBuf,
    pub(super) durable: bool,
    /// Who runs it, where we are root.
    pub(super) user: Option<User>,
}

impl Folder {
    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("mariadb.log")
    }

    fn init_file(&self) -> PathBuf {
        self.dir.join("init.sql")
    }

    /// Makes what is missing, and gives the user's password (kept beside the data, for the next start).
    pub(super) fn prepare(&self) -> anyhow::Result<SecretString> {
        make_folder(&self.dir, self.user.as_ref())?;
        let password_file = self.dir.join("password");
        // Written last.
        if password_file.exists() {
            return Ok(fs::read_to_string(&password_file)?.trim_end().into());
        }
        let mut install_db = self.command(&self.programs.install_db);
        // Its data are those of no earlier, broken-off attempt.
        let _ = fs::remove_dir_all(self.data());
        install_db.arg("--no-defaults").arg(format!("--datadir={}", self.data().display()));
        install_db.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
        install_db.args(self.storage()).stdin(Stdio::null());
        let made = install_db.output().with_context(|| format!("cannot run {}", self.programs.install_db.display()))?;
        if !made.status.success() {
            let (output, errors) = (String::from_utf8_lossy(&made.stdout), String::from_utf8_lossy(&made.stderr));
            bail!("mariadb-install-db failed ({}):\n{output}{errors}", made.status);
        }
        let password = random_password()?;
        self.write_secret(&password_file, &password)?;
        Ok(password.into())
    }

    fn write_secret(&self, file: &Path, text: &str) -> anyhow::Result<()> {
        writeln!(OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?, "{text}")?;
        if let Some(user) = &self.user {
            chown(file, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(())
    }

    /// How data are kept. Even without an fsync a commit has left the process, so that a `kill -9` takes nothing.
    fn storage(&self) -> &'static [&'static str] {
        if self.durable {
            &["--innodb-flush-log-at-trx-commit=1"]
        } else {
            // And with a small log, which is written in full when it is made.
            &[
                "--innodb-flush-log-at-trx-commit=2",
                "--innodb-flush-method=nosync",
                "--innodb-doublewrite=0",
                "--innodb-log-file-size=8M",
            ]
        }
    }

    /// The server itself makes our user before it lets anybody in, and takes the one away that needs no password.
    pub(super) fn spawn(&self, port: u16, password: &SecretString) -> anyhow::Result<Running> {
        let password = password.expose_secret();
        let init = format!(
            "CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
             CREATE USER IF NOT EXISTS '{OPERATOR}'@'127.0.0.1' IDENTIFIED BY '{password}';\n\
             GRANT ALL ON *.* TO '{USER}'@'127.0.0.1';\n\
             GRANT ALL ON *.* TO '{OPERATOR}'@'127.0.0.1' WITH GRANT OPTION;\n\
             REVOKE READ ONLY ADMIN ON *.* FROM '{USER}'@'127.0.0.1';\n\
             DROP USER IF EXISTS 'root'@'localhost', 'root'@'127.0.0.1', 'root'@'::1';"
        );
        self.write_secret(&self.init_file(), &init)?;
        let mut server = vec![
            self.programs.mariadbd.display().to_string(),
            "--no-defaults".into(),
            format!("--datadir={}", self.data().display()),
            format!("--init-file={}", self.init_file().display()),
            format!("--port={port}"),
            "--bind-address=127.0.0.1".into(),
            // Below the data: the path of a socket in a deep folder would be too long.
            "--socket=server.sock".into(),
            "--pid-file=server.pid".into(),
            "--skip-name-resolve".into(),
            "--max-connections=200".into(),
            "--innodb-buffer-pool-size=64M".into(),
        ];
        server.extend(self.storage().iter().map(|setting| (*setting).to_owned()));
        let shell = self.command(Path::new("/bin/sh"));
        Running::start(shell, self.user.as_ref(), &self.log(), Signal::SIGTERM, &server)
    }

    /// A command that runs as the server's user, in a folder that this user can read.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.dir).env("LC_ALL", "C").env("TMPDIR", &self.dir);
        for inherited in ["MYSQL_HOME", "MYSQL_TCP_PORT", "MYSQL_UNIX_PORT", "MYSQL_PWD", "MYSQL_HOST"] {
            command.env_remove(inherited);
        }
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    pub(super) fn whole_log(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    pub(super) fn log_tail(&self) -> String {
        tail(&self.whole_log())
    }
}
