//! Passwords at rest: sealed by a key from a file.
//!
//! AES-256-GCM with a random nonce for each password, and the shard's name bound to it: a sealed password that is moved to
//! another shard's row cannot be opened there. What is sealed is text: `v1:` and the base64 of nonce and ciphertext. A few
//! passwords in a directory's life are very far from the 2^32 after which random nonces of 96 bits grow risky (NIST SP
//! 800-38D, 8.3).

use std::{fs, io::Write, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use secrecy::{ExposeSecret, SecretString};

const KEY_BYTES: usize = 32;
const VERSION: &str = "v1:";

/// The directory's key.
pub struct Key(LessSafeKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A sealed password cannot be opened: another key, another shard's, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed password cannot be opened: it was sealed with another key, for another shard, or is damaged")]
pub struct Unopenable;

impl Key {
    /// Reads the key file: 32 bytes in base64.
    ///
    /// # Errors
    /// Where it cannot be read, or holds something else.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("the key file {}", path.display());
        let text = fs::read_to_string(path).with_context(named)?;
        if fs::metadata(path).with_context(named)?.permissions().mode() & 0o077 != 0 {
            tracing::warn!(file = %path.display(), "others than its owner may read the key of the shards' passwords");
        }
        let bytes = STANDARD.decode(text.trim()).ok().filter(|bytes| bytes.len() == KEY_BYTES);
        let bytes = bytes.with_context(|| format!("{} does not hold {KEY_BYTES} bytes in base64", named()))?;
        Ok(Self::of(&bytes))
    }

    /// Makes a key file, readable for its owner only; where another process was quicker, that one's key is left.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn make_file(path: &Path) -> anyhow::Result<()> {
        let named = || format!("cannot make the key file {}", path.display());
        let mut bytes = [0; KEY_BYTES];
        if SystemRandom::new().fill(&mut bytes).is_err() {
            bail!("{}: no random numbers", named());
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Whole or not at all: another process may read it the moment that it is there.
        let mut file = tempfile::NamedTempFile::new_in(folder).with_context(named)?;
        writeln!(file, "{}", STANDARD.encode(bytes)).with_context(named)?;
        file.as_file().sync_all().with_context(named)?;
        match file.persist_noclobber(path) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error.error).with_context(named),
        }
    }

    fn of(bytes: &[u8]) -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("the length was checked")))
    }

    /// Seals the password of a shard.
    pub fn seal(&self, shard: &str, password: &SecretString) -> String {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).expect("the system has random numbers: it gave some for the key");
        let mut text = password.expose_secret().as_bytes().to_vec();
        let sealing = self.0.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(shard.as_bytes()),
            &mut text,
        );
        sealing.expect("a password is far shorter than 64 GiB");
        format!("{VERSION}{}", STANDARD.encode([&nonce[..], &text].concat()))
    }

    /// Opens the sealed password of a shard.
    ///
    /// # Errors
    /// See [`Unopenable`].
    pub fn open(&self, shard: &str, sealed: &str) -> Result<SecretString, Unopenable> {
        let bytes = sealed.strip_prefix(VERSION).and_then(|text| STANDARD.decode(text).ok()).ok_or(Unopenable)?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN).ok_or(Unopenable)?;
        let (nonce, mut text) = (Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unopenable)?, text.to_vec());
        let opened = self.0.open_in_place(nonce, Aad::from(shard.as_bytes()), &mut text).map_err(|_| Unopenable)?;
        let password = std::str::from_utf8(opened).map_err(|_| Unopenable)?;
        Ok(SecretString::from(password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_opened_by_its_key_for_its_shard_alone() {
        let (key, other) = (Key::of(&[7; KEY_BYTES]), Key::of(&[8; KEY_BYTES]));
        let sealed = key.seal("a", &"hunter2 ä".into());
        assert_eq!(key.open("a", &sealed).unwrap().expose_secret(), "hunter2 ä");
        assert_eq!(key.open("b", &sealed).unwrap_err(), Unopenable);
        assert_eq!(other.open("a", &sealed).unwrap_err(), Unopenable);
        assert!(!sealed.contains("hunter2"));
        // The same password is never sealed alike twice.
        assert_ne!(key.seal("a", &"hunter2 ä".into()), sealed);
        let mut damaged = STANDARD.decode(&sealed[VERSION.len()..]).unwrap();
        damaged[NONCE_LEN] ^= 1;
        let damaged = format!("{VERSION}{}", STANDARD.encode(damaged));
        for text in [damaged.as_str(), "", "v1:", "v1:AAAA", "hunter2", "v2:AAAA"] {
            assert_eq!(key.open("a", text).unwrap_err(), Unopenable, "{text:?}");
        }
    }

    #[test]
    fn a_key_file_is_its_owners_alone_and_is_never_made_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(Key::read(&path).unwrap_err().to_string().contains("key"));
        Key::make_file(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let sealed = Key::read(&path).unwrap().seal("a", &"p".into());
        Key::make_file(&path).unwrap();
        assert!(Key::read(&path).unwrap().open("a", &sealed).is_ok());
        fs::write(&path, "dG9vIHNob3J0\n").unwrap();
        assert!(Key::read(&path).unwrap_err().to_string().contains("32 bytes"));
    }
}
