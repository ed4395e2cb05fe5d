//! The folder of a fleet.

use std::{
    fs::{DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use tempfile::TempDir;

use crate::log_file::LogFile;

/// All files of a fleet: logs, streams, databases. A temporary one is removed when this is dropped.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    /// Held for its `Drop`.
    _temporary: Option<TempDir>,
}

impl Home {
    /// The named folder, made where it is missing; without a name, a temporary one.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn open(named: Option<&Path>) -> anyhow::Result<Self> {
        let home = match named {
            Some(path) => {
                std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
                Self { path: path.canonicalize()?, _temporary: None }
            }
            None => {
                let temporary = tempfile::Builder::new().prefix("sluice-fleet-").tempdir()?;
                // PostgreSQL refuses to run as root; the user that it runs as has to pass through here.
                std::fs::set_permissions(temporary.path(), Permissions::from_mode(0o711))?;
                Self { path: temporary.path().canonicalize()?, _temporary: Some(temporary) }
            }
        };
        std::fs::create_dir_all(home.path.join("logs"))?;
        Ok(home)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The log file of that name.
    pub fn log(&self, name: &str) -> LogFile {
        LogFile::new(&self.path.join("logs"), name)
    }

    /// A folder in it that only we may enter, such as the one with the directory's passwords.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn private_folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// A folder in it that everybody may pass through.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn open_folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.private_folder(name)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o711))?;
        Ok(path)
    }
}
