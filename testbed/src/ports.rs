//! Free TCP ports on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
    sync::atomic::{AtomicU16, Ordering},
};

/// Below what Linux (from 32768) and the BSDs (from 49152) give to outgoing connections: a port from here is not taken
/// by a stranger between the moment a server is killed and the moment it is started again.
const RANGE: Range<u16> = 12_000..32_000;

/// How many ports this process has asked for. Two fleets of one test process never get the same one.
static ASKED: AtomicU16 = AtomicU16::new(0);

/// Why there is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Somebody listens there.
    #[error("port {port}, wanted for {purpose}, is taken; end what listens there, or choose another --base-port")]
    Taken {
        /// Which.
        port: u16,
        /// What for.
        purpose: String,
    },
    /// The numbers went past 65535.
    #[error("there is no port left for {purpose}: choose a lower --base-port")]
    TooHigh {
        /// What for.
        purpose: String,
    },
    /// Every port of ours was taken.
    #[error("no port from {} to {} of 127.0.0.1 is free", RANGE.start, RANGE.end - 1)]
    NoneFree,
}

/// Where ports come from.
#[derive(Debug)]
pub enum Ports {
    /// Whatever is free.
    Free,
    /// Counted upward; the next one is named.
    From(u16),
}

impl Ports {
    /// Counted from a base port, or whatever is free.
    pub fn new(base_port: Option<u16>) -> Self {
        base_port.map_or(Self::Free, Self::From)
    }

    /// The next port.
    ///
    /// # Errors
    /// Counting: where that very port is taken. Otherwise: where none is free.
    pub fn take(&mut self, purpose: &str) -> Result<u16, PortError> {
        match self {
            Self::Free => free(),
            Self::From(next) => {
                let port = *next;
                check(port, purpose)?;
                *next = port.checked_add(1).ok_or_else(|| PortError::TooHigh { purpose: purpose.to_owned() })?;
                Ok(port)
            }
        }
    }
}

/// Whether nobody listens on that port.
///
/// # Errors
/// Where somebody does.
pub fn check(port: u16, purpose: &str) -> Result<(), PortError> {
    if is_free(port) { Ok(()) } else { Err(PortError::Taken { port, purpose: purpose.to_owned() }) }
}

/// Nothing of a fleet listens elsewhere.
pub fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(loopback(port)).is_ok()
}

fn free() -> Result<u16, PortError> {
    let width = RANGE.end - RANGE.start;
    // Test processes that run side by side begin at places of their own: their ids differ.
    let begin = std::process::id().wrapping_mul(1_009) % u32::from(width);
    let begin = u16::try_from(begin).expect("a remainder is less than its divisor, a u16");
    let candidate = || RANGE.start + (begin + ASKED.fetch_add(1, Ordering::Relaxed) % width) % width;
    (0..width).map(|_| candidate()).find(|port| is_free(*port)).ok_or(PortError::NoneFree)
}
