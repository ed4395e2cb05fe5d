//! Our services' programs: built as testbed itself was built, beside it.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use tokio::{process::Command, sync::OnceCell};

use crate::tool;

/// What cargo tells a test or a program that it runs, and must not hear again: a build script that watches one of these
/// (ring's does) would take it for a change and be compiled again, with all that rests on it, here and then once more.
const TOLD_BY_CARGO: [&str; 6] =
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_PACKAGE", "LD_LIBRARY_PATH"];

/// Once per process: a second fleet of the same test process finds them built.
static BUILT: OnceCell<()> = OnceCell::const_new();

/// The folder that holds them.
#[derive(Debug, Clone)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Builds what is not up to date (cargo shows its progress), in the profile of the running program.
    ///
    /// # Errors
    /// Where the build fails.
    pub async fn built() -> anyhow::Result<Self> {
        let binaries = Self::beside_this_program()?;
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("testbed/ is in a workspace")?;
        // Installed somewhere without its sources, testbed takes what is beside it.
        if workspace.join("Cargo.toml").exists() {
            BUILT.get_or_try_init(|| build(workspace, &binaries.folder)).await?;
        }
        Ok(binaries)
    }

    /// As they are, whether up to date or not.
    ///
    /// # Errors
    /// Where nobody can say where the running program is.
    pub fn beside_this_program() -> anyhow::Result<Self> {
        let running = std::env::current_exe().context("the running program has no path")?;
        Ok(Self { folder: profile_folder(&running)?.to_owned() })
    }

    /// A program of ours.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where fetched tools are kept: they outlive a fleet, and `cargo clean` removes them.
    pub fn tools(&self) -> PathBuf {
        self.folder.parent().unwrap_or(&self.folder).join("tools")
    }
}

/// `target/<profile>`: a program is in it, a test in `deps` below it.
fn profile_folder(running: &Path) -> anyhow::Result<&Path> {
    let folder = running.parent().context("the running program has a folder")?;
    let below = folder.file_name() == Some(OsStr::new("deps"));
    Ok(folder.parent().filter(|_| below).unwrap_or(folder))
}

async fn build(workspace: &Path, folder: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace).args(what_to_build(folder));
    command.arg("--target-dir").arg(folder.parent().context("a profile's folder is in a target folder")?);
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| TOLD_BY_CARGO.iter().any(|start| name.to_string_lossy().starts_with(start))) {
        command.env_remove(name);
    }
    let done = tool::output(&mut command).await?;
    anyhow::ensure!(done.status.success(), "the services could not be built: cargo has said why");
    Ok(())
}

/// For the whole workspace, as the README's commands do: cargo chooses the features of dependencies by the packages that
/// are built together, and would compile many of them a second time for another choice.
///
/// A debug build belongs to a test: what `cargo test` builds includes the programs of every package that has a test of
/// its own program, and repeating its very words finds everything built.
fn what_to_build(folder: &Path) -> &'static [&'static str] {
    match folder.file_name().map(OsStr::to_string_lossy).as_deref() {
        Some("release") => &["build", "--release", "--workspace", "--bins"],
        _ => &["test", "--workspace", "--no-run"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_are_built_in_the_profile_of_the_running_program() {
        let words = |running: &str| what_to_build(profile_folder(Path::new(running)).unwrap());
        assert!(!words("/x/target/debug/testbed").contains(&"--release"));
        assert!(!words("/x/target/debug/deps/fleet-0123").contains(&"--release"));
        assert!(words("/x/target/release/testbed").contains(&"--release"));
    }
}
