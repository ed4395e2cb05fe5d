//! Finding PostgreSQL on this machine, and a user who may run it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use nix::unistd::{User, geteuid};

/// The two programs of one installation.
#[derive(Clone)]
pub(super) struct Programs {
    pub(super) initdb: PathBuf,
    pub(super) postgres: PathBuf,
}

impl Programs {
    pub(super) fn find_or_install() -> anyhow::Result<Self> {
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

pub(super) fn unprivileged_user() -> anyhow::Result<User> {
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(user);
        }
    }
    bail!("PostgreSQL does not run as root, and there is neither a user `postgres` nor a user `nobody`")
}

/// Lets the server's user pass through the folders above its own, as far as they are ours to change: those made below
/// the folder for temporary files, which come closed to everybody else.
pub(super) fn open_the_way(dir: &Path) -> anyhow::Result<()> {
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
