//! The memory of a process, as the kernel counts it.

use anyhow::Context;

/// What of a process is in memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// The most since it was started.
    pub peak: u64,
}

impl Memory {
    /// Of the process with that id.
    ///
    /// # Errors
    /// Where the kernel does not say: there is no such process, or this is not Linux.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Self::parse(&status).with_context(|| format!("{path} does not say how much memory there is:\n{status}"))
    }

    fn parse(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib * 1024)
        };
        Some(Self { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_memory_is_told_and_its_peak_is_no_less() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.resident > 100_000 && memory.peak >= memory.resident, "{memory:?}");
        assert_eq!(
            Memory::parse("VmHWM:\t  20 kB\nVmRSS:\t  10 kB\n"),
            Some(Memory { resident: 10_240, peak: 20_480 })
        );
        assert_eq!(Memory::parse("Name:\tx"), None);
    }
}
