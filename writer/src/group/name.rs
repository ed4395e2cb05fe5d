//! What a member of the group is called.

use std::{fmt, net::SocketAddr, str::FromStr};

/// A member's name: 1 to 64 of `A-Z a-z 0-9 - _`, as it becomes a key of the bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberName(String);

/// The text is no member's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a writer's name has 1 to 64 letters, digits, - and _; {0:?} has not")]
pub struct NameError(String);

impl MemberName {
    const MAX_BYTES: usize = 64;

    /// This machine's name and the port: the same again when a process is started anew in its place, so that it takes up at once
    /// what it had. In a container the machine's name is the container's.
    pub fn of_this_process(listen: SocketAddr) -> Self {
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
        let port = listen.port().to_string();
        let host: String = host.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect();
        Self(format!("{host:.length$}-{port}", length = Self::MAX_BYTES - 1 - port.len()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

impl FromStr for MemberName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len()) && text.chars().all(is_allowed);
        if fits { Ok(Self(text.to_owned())) } else { Err(NameError(text.to_owned())) }
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_key_of_the_bucket() {
        for good in ["a", "writer-1", "HOST_7080", &"x".repeat(64)] {
            assert_eq!(good.parse::<MemberName>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a.b", ">", "*", "é", "a\n", &"x".repeat(65)] {
            assert_eq!(bad.parse::<MemberName>(), Err(NameError(bad.to_owned())));
        }
        let own = MemberName::of_this_process("127.0.0.1:7080".parse().unwrap());
        assert!(own.as_str().ends_with("-7080"));
        assert_eq!(own.as_str().parse(), Ok(own));
    }
}
