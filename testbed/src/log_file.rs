//! The file that a process writes its log to.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// How much of the file's end is looked at for its last lines.
const TAIL_BYTES: u64 = 64 * 1024;
/// How many lines an error shows.
const TAIL_LINES: usize = 20;

/// A log file; a process that is started again goes on writing at its end.
#[derive(Debug, Clone)]
pub struct LogFile(PathBuf);

impl LogFile {
    /// The log of that name in a folder.
    pub fn new(folder: &Path, name: &str) -> Self {
        Self(folder.join(format!("{name}.log")))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What it is the log of.
    pub fn name(&self) -> String {
        self.0.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Opens it for a process to write to.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn open(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(&self.0)
    }

    /// Its last lines, for an error: the file itself may be gone by the time that somebody reads that.
    pub fn tail(&self) -> String {
        let text = self.end().unwrap_or_else(|error| format!("it cannot be read: {error}"));
        let lines: Vec<_> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        format!("last lines of {}:\n{last}", self.0.display())
    }

    fn end(&self) -> io::Result<String> {
        let mut file = File::open(&self.0)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
