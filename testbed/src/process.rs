//! One process that we started, and the only ones that we ever signal: by its id, while we are its parent.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use secrecy::{ExposeSecret, SecretString};

use crate::{log_file::LogFile, memory::Memory, ready::Ready, wait};

/// How long a process may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a process may take to stop before it is killed. More than what a service of ours gives its own last work.
const GRACE: Duration = Duration::from_secs(20);
/// How often one looks whether a process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Settings that the caller's environment may hold for a Sluice of its own, and that are not meant for ours.
const NOT_INHERITED: [&str; 6] = ["NATS_", "JOURNAL_", "SHARDING_", "DIRECTORY_", "INGEST_", "WRITER_"];

/// How a process is started; started again, it is the same.
#[derive(Debug, Clone)]
pub struct Launch {
    /// What we call it.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its environment, beside what it inherits. There are passwords among it.
    pub env: Vec<(&'static str, SecretString)>,
    /// Where its output goes.
    pub log: LogFile,
    /// When it is ready.
    pub ready: Ready,
    /// Whether it gets a process group of its own, so that ctrl-C at the terminal reaches only us, and we stop
    /// everything in order. Without (in tests) ctrl-C ends it directly, even where we are ended too rudely to do it.
    pub own_group: bool,
}

impl Launch {
    fn spawn(&self) -> anyhow::Result<Child> {
        let open = || self.log.open().with_context(|| format!("cannot write {}", self.log.path().display()));
        let (output, errors) = (open()?, open()?);
        let mut command = Command::new(&self.program);
        let foreign = |name: &OsString| NOT_INHERITED.iter().any(|start| name.to_string_lossy().starts_with(start));
        for (name, _) in std::env::vars_os().filter(|(name, _)| foreign(name)) {
            command.env_remove(name);
        }
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value.expose_secret())));
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        if self.own_group {
            command.process_group(0);
        }
        command.spawn().with_context(|| format!("cannot start {} ({})", self.name, self.program.display()))
    }
}

/// A started process. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    child: Child,
}

impl Process {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// Where it cannot be started, ends, or is not ready in time; with the last lines of its log.
    pub async fn start(launch: Launch) -> anyhow::Result<Self> {
        let child = launch.spawn()?;
        let mut process = Self { launch, child };
        process.wait_ready().await?;
        Ok(process)
    }

    /// What we call it.
    pub fn name(&self) -> &str {
        &self.launch.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        self.launch.log.path()
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// Where it ends, or is not ready in time; with the last lines of its log.
    pub async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                anyhow::bail!("{} ended ({status}) before it was ready; {}", self.name(), self.launch.log.tail());
            }
            if self.launch.ready.is_so().await {
                return Ok(());
            }
            if since.elapsed() > READY_WITHIN {
                let (name, tail) = (self.name(), self.launch.log.tail());
                anyhow::bail!("{name} is not ready after {} s; {tail}", READY_WITHIN.as_secs());
            }
            tokio::time::sleep(wait::INTERVAL).await;
        }
    }

    /// How it ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("we are its parent, and ask with a valid id")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.ended().is_none()
    }

    /// `kill -9`: it is gone when this returns, and had no time for anything.
    pub fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::SIGKILL);
        self.child.wait().expect("we are its parent, and ask with a valid id")
    }

    /// SIGTERM, and does not wait.
    pub fn tell_to_stop(&mut self) {
        self.signal(Signal::SIGTERM);
    }

    /// SIGTERM, then waits; one that has not ended within the grace period is killed.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        // One that is frozen could not hear it.
        self.signal(Signal::SIGCONT);
        let since = Instant::now();
        while since.elapsed() < GRACE {
            if let Some(status) = self.ended() {
                return status;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        tracing::warn!(name = self.name(), log = ?self.log(), "did not stop within {} s: killed", GRACE.as_secs());
        self.kill()
    }

    /// Freezes it (SIGSTOP): it neither works nor closes its connections, as on a machine that hangs.
    pub fn freeze(&mut self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a frozen one go on (SIGCONT).
    pub fn thaw(&mut self) {
        self.signal(Signal::SIGCONT);
    }

    /// Starts it again, with the same arguments and at the same address, and waits until it is ready. One that still
    /// runs is stopped first.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.child = self.launch.spawn()?;
        self.wait_ready().await
    }

    /// Starts it again with this variable in its environment, without waiting until it is ready: it may be meant to die before.
    /// Later starts have it no more.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn restart_with(&mut self, variable: &'static str, value: String) -> anyhow::Result<()> {
        self.stop();
        self.launch.env.push((variable, value.into()));
        let child = self.launch.spawn();
        self.launch.env.pop();
        self.child = child?;
        Ok(())
    }

    /// As [`Process::restart`], and returns at once: for one that cannot become ready yet.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn restart_unready(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.child = self.launch.spawn()?;
        Ok(())
    }

    /// Memory that it has now, and the most that it ever had.
    ///
    /// # Errors
    /// Where the kernel does not say: it has ended, or this is not Linux.
    pub fn memory(&self) -> anyhow::Result<Memory> {
        Memory::of(self.pid())
    }

    /// From now on no file that it writes may grow beyond so many bytes; `None`: any may. A full disk that needs neither a
    /// disk nor rights. It has to ignore SIGXFSZ (see [`crate::FleetOptions::writer_under`]), which would end it.
    ///
    /// # Errors
    /// Where `prlimit` (of util-linux) is missing or fails.
    pub fn limit_files(&self, bytes: Option<u64>) -> anyhow::Result<()> {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let mut prlimit = Command::new("prlimit");
        prlimit.arg(format!("--fsize={limit}:")).arg("--pid").arg(self.pid().to_string()).stdin(Stdio::null());
        let done = prlimit.output().context("cannot run prlimit")?;
        anyhow::ensure!(done.status.success(), "prlimit failed: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }

    /// Only to one that has not been waited for: until then nobody else can have its id.
    fn signal(&mut self, signal: Signal) {
        if !self.is_running() {
            return;
        }
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("Linux ids are below 2^22"));
        if let Err(error) = kill(pid, signal) {
            tracing::warn!(name = self.name(), %signal, %error, "not signalled");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}
