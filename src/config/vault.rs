//! One key of this installation, and what is sealed under it: secrets at rest are worth nothing without it.
//!
//! A sealed value: `RWS1`, a nonce of 12 bytes, AES-256-GCM ciphertext and tag. Associated data are the header and the context (table and
//! row), so that a value cannot be moved to another row.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// Bytes of the key.
const KEY: usize = 32;
/// First bytes of a sealed value: format version 1.
const MAGIC: &[u8; 4] = b"RWS1";
/// The file in the state directory, where systemd gives no credential.
const FILE: &str = "secret.key";
/// The name of systemd's credential.
const CREDENTIAL: &str = "reelward.key";
/// Longest key file: 64 hexadecimal digits, a line end, and one byte that would be too many.
const LONGEST: u64 = 67;

/// Why a secret could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The key file cannot be read or made.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The key file holds something else.
    #[error("{}: not a key: 32 bytes or 64 hexadecimal digits are expected", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// Others may read the key.
    #[error("{}: mode {mode:04o} lets others read the key; `chmod 600` it", path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What was to be opened is none of ours.
    #[error("{context}: not a sealed value of this version")]
    NotSealed {
        /// Where it stands.
        context: String,
    },
    /// Another key, another row, or changed bytes.
    #[error(
        "{context}: cannot be opened with this installation's key: it was sealed under another one, or altered"
    )]
    Unsealable {
        /// Where it stands.
        context: String,
    },
    /// The operating system or the cipher failed.
    #[error("no random numbers, or the cipher failed")]
    Cipher,
}

/// The key of this installation. Wiped when dropped, never shown.
pub struct Vault {
    key: Zeroizing<[u8; KEY]>,
    from: PathBuf,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault(key in {})", self.from.display())
    }
}

impl Vault {
    /// Reads the key: systemd's credential `reelward.key` where there is one, else `secret.key` in the state directory,
    /// which is made (mode 0600, durable) where it is missing.
    ///
    /// # Errors
    /// The file cannot be read or made, holds no key, or others may read it.
    pub fn open(state: &Path) -> Result<Vault, VaultError> {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|value| !value.is_empty());
        Vault::open_with(state, credentials.map(PathBuf::from).as_deref())
    }

    /// The same with the directory of systemd's credentials named.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn open_with(state: &Path, credentials: Option<&Path>) -> Result<Vault, VaultError> {
        if let Some(path) = credentials.map(|directory| directory.join(CREDENTIAL))
            && let Some(key) = read(&path)?
        {
            return Ok(Vault { key, from: path });
        }
        let path = state.join(FILE);
        if let Some(key) = read_private(&path)? {
            return Ok(Vault { key, from: path });
        }
        make(state, &path)?;
        let missing = || VaultError::NotAKey { path: path.clone() };
        let key = read_private(&path)?.ok_or_else(missing)?;
        Ok(Vault { key, from: path })
    }

    /// Seals a secret for the place named by `context`, say `user/7/token`.
    ///
    /// # Errors
    /// No random numbers.
    pub fn seal(&self, context: &str, plaintext: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| VaultError::Cipher)?;
        let mut body = Zeroizing::new(plaintext.to_vec());
        let tag = self
            .cipher()?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad(context), &mut body)
            .map_err(|_| VaultError::Cipher)?;
        let mut sealed = Vec::with_capacity(MAGIC.len() + NONCE_LEN + body.len() + tag.as_ref().len());
        sealed.extend_from_slice(MAGIC);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&body);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`Vault::seal`] made for the same context.
    ///
    /// # Errors
    /// It is no sealed value, or was sealed under another key or for another context, or was altered.
    pub fn unseal(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let foreign = || VaultError::NotSealed { context: context.to_owned() };
        let rest = sealed.strip_prefix(MAGIC).ok_or_else(foreign)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(foreign)?;
        let mut body = Zeroizing::new(body.to_vec());
        let length = self
            .cipher()?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad(context), &mut body)
            .map_err(|_| VaultError::Unsealable { context: context.to_owned() })?
            .len();
        body.truncate(length);
        Ok(body)
    }

    /// A key of its own for one purpose: the same each time, and nothing about the others follows from it.
    ///
    /// # Errors
    /// Never in practice; the derivation reports one.
    pub fn derive(&self, purpose: &str) -> Result<Zeroizing<[u8; KEY]>, VaultError> {
        let mut derived = Zeroizing::new([0; KEY]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"reelward vault 1")
            .extract(self.key.as_ref())
            .expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|filled| filled.fill(derived.as_mut()))
            .map_err(|_| VaultError::Cipher)?;
        Ok(derived)
    }

    fn cipher(&self) -> Result<LessSafeKey, VaultError> {
        let key = self.derive("seal")?;
        UnboundKey::new(&AES_256_GCM, key.as_ref()).map(LessSafeKey::new).map_err(|_| VaultError::Cipher)
    }
}

fn aad(context: &str) -> Aad<Vec<u8>> {
    Aad::from([MAGIC.as_slice(), context.as_bytes()].concat())
}

/// The key in a file; none where there is no file.
fn read(path: &Path) -> Result<Option<Zeroizing<[u8; KEY]>>, VaultError> {
    let unreadable =
        |source| VaultError::File { path: path.to_owned(), what: "the key cannot be read", source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST as usize));
    file.take(LONGEST).read_to_end(&mut text).map_err(unreadable)?;
    parse(&text).map(Some).ok_or_else(|| VaultError::NotAKey { path: path.to_owned() })
}

/// As [`read`], of a file that nobody else may read.
fn read_private(path: &Path) -> Result<Option<Zeroizing<[u8; KEY]>>, VaultError> {
    let key = read(path)?;
    if key.is_some() {
        let mode = std::fs::metadata(path)
            .map_err(|source| VaultError::File {
                path: path.to_owned(),
                what: "the key cannot be read",
                source,
            })?
            .mode()
            & 0o7777;
        if mode & 0o077 != 0 {
            return Err(VaultError::TooOpen { path: path.to_owned(), mode });
        }
    }
    Ok(key)
}

/// 32 bytes as they are, or 64 hexadecimal digits and at most one line end.
fn parse(text: &[u8]) -> Option<Zeroizing<[u8; KEY]>> {
    let mut key = Zeroizing::new([0; KEY]);
    if text.len() == KEY {
        key.copy_from_slice(text);
        return Some(key);
    }
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text.len() != 2 * KEY {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    for (byte, pair) in key.iter_mut().zip(text.chunks(2)) {
        let (high, low) = (digit(*pair.first()?)?, digit(*pair.get(1)?)?);
        *byte = (high << 4 | low) as u8;
    }
    Some(key)
}

/// Makes the key file: whole and durable under its name, or not at all; another process may come first.
fn make(state: &Path, path: &Path) -> Result<(), VaultError> {
    let failed = |source| VaultError::File { path: path.to_owned(), what: "no key can be made", source };
    let random = SystemRandom::new();
    let mut key = Zeroizing::new([0; KEY]);
    random.fill(key.as_mut()).map_err(|_| VaultError::Cipher)?;
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY + 1));
    for byte in key.iter() {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text.push('\n');
    let mut suffix = [0; 8];
    random.fill(&mut suffix).map_err(|_| VaultError::Cipher)?;
    let draft = state.join(format!("{FILE}.{:016x}", u64::from_be_bytes(suffix)));
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = std::fs::remove_file(&draft);
    linked.and(removed).and_then(|()| File::open(state)?.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    fn vault() -> (tempfile::TempDir, Vault) {
        let state = tempfile::tempdir().unwrap();
        let vault = Vault::open_with(state.path(), None).unwrap();
        (state, vault)
    }

    #[test]
    fn the_key_is_made_once_and_private() {
        let (state, first) = vault();
        let path = state.path().join("secret.key");
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.len()), (0o600, 65));
        let second = Vault::open_with(state.path(), None).unwrap();
        let sealed = first.seal("a", b"secret").unwrap();
        assert_eq!(second.unseal("a", &sealed).unwrap().as_slice(), b"secret");
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 1, "no draft stays");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!format!("{first:?}").contains(&text[..16]));
    }

    #[test]
    fn processes_that_race_agree_on_one_key() {
        let state = tempfile::tempdir().unwrap();
        let derived: Vec<_> = std::thread::scope(|scope| {
            let open = || Vault::open_with(state.path(), None).unwrap().derive("x").unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(derived.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_credential_comes_first_and_makes_no_file() {
        let (state, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(credentials.path().join("reelward.key"), [7; 32]).unwrap();
        let vault = Vault::open_with(state.path(), Some(credentials.path())).unwrap();
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
        std::fs::write(credentials.path().join("reelward.key"), "07".repeat(32) + "\n").unwrap();
        let again = Vault::open_with(state.path(), Some(credentials.path())).unwrap();
        assert_eq!(vault.derive("x").unwrap(), again.derive("x").unwrap());
        // A credential directory without ours.
        std::fs::remove_file(credentials.path().join("reelward.key")).unwrap();
        let own = Vault::open_with(state.path(), Some(credentials.path())).unwrap();
        assert_ne!(vault.derive("x").unwrap(), own.derive("x").unwrap());
        assert!(state.path().join("secret.key").exists());
    }

    #[test]
    fn bad_key_files_are_refused_and_left_alone() {
        let (state, _) = vault();
        let path = state.path().join("secret.key");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let open = || Vault::open_with(state.path(), None);
        assert!(matches!(open(), Err(VaultError::TooOpen { mode: 0o640, .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for wrong in [vec![], vec![1; 31], vec![1; 33], b"zz".repeat(32), vec![b'0'; 66], vec![0; 4096]] {
            std::fs::write(&path, &wrong).unwrap();
            assert!(matches!(open(), Err(VaultError::NotAKey { .. })), "{} bytes", wrong.len());
            assert_eq!(std::fs::read(&path).unwrap(), wrong);
        }
        let missing = state.path().join("none");
        assert!(matches!(Vault::open_with(&missing, None), Err(VaultError::File { .. })));
    }

    #[test]
    fn derived_keys_differ_and_stay() {
        let (state, vault) = vault();
        let again = Vault::open_with(state.path(), None).unwrap();
        assert_eq!(vault.derive("jwt").unwrap(), again.derive("jwt").unwrap());
        assert_ne!(vault.derive("jwt").unwrap(), vault.derive("jwt2").unwrap());
        assert_ne!(vault.derive("jwt").unwrap().as_ref(), vault.key.as_ref());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn only_the_same_bytes_in_the_same_place_open(
            secret in prop::collection::vec(any::<u8>(), 0..200),
            context in "[a-z/0-9]{1,20}",
            other in "[a-z/0-9]{1,20}",
            flip in any::<prop::sample::Index>(),
            bit in 0u8..8,
            cut in any::<prop::sample::Index>(),
        ) {
            let (_state, vault) = vault();
            let sealed = vault.seal(&context, &secret).unwrap();
            prop_assert_eq!(sealed.len(), secret.len() + 32);
            prop_assert_eq!(vault.unseal(&context, &sealed).unwrap().to_vec(), secret);
            if other != context {
                prop_assert!(vault.unseal(&other, &sealed).is_err());
            }
            let mut altered = sealed.clone();
            altered[flip.index(sealed.len())] ^= 1 << bit;
            prop_assert!(vault.unseal(&context, &altered).is_err());
            prop_assert!(vault.unseal(&context, &sealed[..cut.index(sealed.len())]).is_err());
            let (_other_state, stranger) = self::vault();
            prop_assert!(stranger.unseal(&context, &sealed).is_err());
        }
    }
}
