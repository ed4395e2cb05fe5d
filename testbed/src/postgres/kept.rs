//! What the database servers here have in common: a keeper, so that none is left behind, and a user who may run them.
//!
//! It stands alone (see the servers' own files), and is a room of each of them.

use std::{
    fs::{self, File, Permissions},
    io::{BufRead, BufReader, Read},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, geteuid},
};

/// Starts the server given as arguments, says its pid, and waits for its end; a watcher ends it when our input closes.
const KEEPER: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- >>"$SLUICE_LOG" 2>&1 & server=$!
echo "$server"
{ while read -r _ <&3; do :; done; kill -"$SLUICE_END" "$server"; } 2>/dev/null & watcher=$!
wait "$server"; status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"#;

/// How long each way to end a server may take before the next, ruder one.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at something that another process does.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// The server's process and the shell that keeps it.
pub(super) struct Running {
    pub(super) keeper: Child,
    pub(super) pid: Pid,
}

impl Running {
    /// Starts a server. `shell` is a command for `/bin/sh`, as the user who is to run the server; `end` is the signal that ends
    /// the server in order, and its output goes into `log`, which begins anew: what it says is about this start.
    pub(super) fn start(
        mut shell: Command,
        user: Option<&User>,
        log: &Path,
        end: Signal,
        server: &[String],
    ) -> anyhow::Result<Self> {
        drop(File::create(log)?);
        if let Some(user) = user {
            chown(log, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        shell.args(["-c", KEEPER, "keeper"]).args(server);
        shell.env("SLUICE_LOG", log).env("SLUICE_END", end.as_str().trim_start_matches("SIG"));
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Ctrl-C at a terminal is for us, who then end the server when nobody needs it any more.
        let mut keeper = shell.process_group(0).spawn().context("cannot run /bin/sh")?;
        let said = keeper.stdout.take().context("the keeper has no output")?;
        let mut pid = String::new();
        BufReader::new(said).read_line(&mut pid)?;
        let pid = Pid::from_raw(pid.trim().parse().context("the keeper did not say the server's pid")?);
        Ok(Self { keeper, pid })
    }

    /// The keeper lives exactly as long as the server.
    pub(super) fn ended(&mut self) -> bool {
        !matches!(self.keeper.try_wait(), Ok(None))
    }

    /// Ends it by these signals, each where the one before was not enough.
    pub(super) fn end(&mut self, signals: &[Signal]) {
        for signal in signals {
            if self.ended() {
                return;
            }
            // The keeper has not ended, so this pid is still the server's.
            let _ = kill(self.pid, *signal);
            let deadline = Instant::now() + STOP_LIMIT;
            while !self.ended() && Instant::now() < deadline {
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Ends it as a crash does: `kill -9`, nothing is written.
    pub(super) fn kill(&mut self) {
        if !self.ended() {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = self.keeper.wait();
        }
    }

    /// Limits the size of files for the server's first process, whose later children inherit that, and for those that it has.
    /// `command` makes a command that runs as the server's own user, who may do this to its processes; root may not everywhere
    /// (in a container).
    pub(super) fn limit_files(&self, bytes: Option<u64>, command: impl Fn(&Path) -> Command) -> anyhow::Result<()> {
        let limit = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
        let set = |pid: i32| {
            let mut prlimit = command(Path::new("prlimit"));
            prlimit.arg(format!("--fsize={limit}:")).arg("--pid").arg(pid.to_string()).stdin(Stdio::null());
            let done = prlimit.output().context("cannot run prlimit")?;
            // A child may have ended meanwhile.
            if done.status.success() || !Path::new(&format!("/proc/{pid}")).exists() {
                return Ok(());
            }
            bail!("prlimit failed: {}", String::from_utf8_lossy(&done.stderr))
        };
        set(self.pid.as_raw())?;
        children_of(self.pid.as_raw())?.into_iter().try_for_each(set)
    }
}

/// The processes whose parent that one is (Linux).
fn children_of(parent: i32) -> anyhow::Result<Vec<i32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended meanwhile is nobody's child. After its name, in brackets, come its state and its parent's id.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        if after_name.split_whitespace().nth(1) == Some(&parent.to_string()) {
            children.push(pid);
        }
    }
    Ok(children)
}

/// Installs Debian's packages, where we may. Whether it failed is seen by looking for the programs again.
pub(super) fn install(packages: &[&str]) {
    if !geteuid().is_root() {
        return;
    }
    for arguments in [&["update"][..], &["install", "-y", "--no-install-recommends"]] {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).args(if arguments.len() > 1 { packages } else { &[] });
        let _ = apt.stdin(Stdio::null()).stdout(Stdio::null()).status();
    }
}

/// Who runs a server where we are root, which no server likes: the first of these users that there is.
pub(super) fn unprivileged_user(names: &[&str]) -> anyhow::Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    for name in names {
        if let Some(user) = User::from_name(name)? {
            return Ok(Some(user));
        }
    }
    bail!("a database server does not run as root, and there is none of the users {}", names.join(", "))
}

/// Makes the server's folder, and lets its user pass through the folders above it, as far as they are ours to change: those
/// made below the folder for temporary files, which come closed to everybody else.
pub(super) fn make_folder(dir: &Path, user: Option<&User>) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let Some(user) = user else { return Ok(()) };
    chown(dir, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    let temporary = std::env::temp_dir().canonicalize()?;
    for folder in dir.canonicalize()?.ancestors().skip(1) {
        let mode = fs::metadata(folder)?.mode();
        if mode & 0o001 != 0 {
            continue;
        }
        if folder.starts_with(&temporary) && folder != temporary {
            fs::set_permissions(folder, Permissions::from_mode((mode & 0o7777) | 0o011))?;
        } else {
            bail!("{} cannot be entered by the database server's user: choose another folder", folder.display());
        }
    }
    Ok(())
}

/// The last lines of a log.
pub(super) fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

pub(super) fn random_password() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(super) fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
