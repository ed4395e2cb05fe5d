//! Finding PostgreSQL on this machine.

use std::{fs, path::PathBuf};

use anyhow::Context;

use super::kept::install;

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
        install(&["postgresql"]);
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
