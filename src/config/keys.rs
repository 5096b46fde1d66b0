//! Encryption keys of the installation: public halves in the open, private halves sealed in the vault.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::key_sheet::SheetKey;
use super::{Vault, VaultError};
use crate::catalog::{Catalog, CatalogError, EncryptionKey, KeyId, NewKey};
use crate::format::age::{AgeError, Identity, Recipient};

/// Why a key cannot be kept or used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The catalog refused or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// It cannot be sealed or opened.
    #[error("the private half of key {name} cannot be opened: was the vault's key replaced?")]
    Vault {
        /// The key.
        name: String,
        /// The cause.
        source: VaultError,
    },
    /// It is no age identity.
    #[error(
        "this is no key: give the line that begins with AGE-SECRET-KEY-1, a key file in Base64, or 32 bytes in Base64"
    )]
    NotAKey(#[source] AgeError),
    /// The system gave no random numbers.
    #[error("no key could be made")]
    Random(#[source] AgeError),
    /// A sealed value holds something else.
    #[error("encryption key {name}: what is sealed is not its private half")]
    Damaged {
        /// The key.
        name: String,
    },
    /// Nothing may be encrypted for it any more.
    #[error("encryption key {name} is retired: it opens what it was used for, and takes nothing new")]
    Retired {
        /// The key.
        name: String,
    },
}

/// The keys. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keys {
    catalog: Catalog,
    vault: Arc<Vault>,
}

impl Keys {
    /// Of this catalog, sealed in this vault.
    pub fn new(catalog: Catalog, vault: Arc<Vault>) -> Keys {
        Keys { catalog, vault }
    }

    /// Makes a key.
    ///
    /// # Errors
    /// The name is taken.
    pub fn create(&self, name: &str) -> Result<EncryptionKey, KeysError> {
        self.add(name, &Identity::generate().map_err(KeysError::Random)?)
    }

    /// Takes in a key that was made elsewhere; see [`Identity::parse_key_data`].
    ///
    /// # Errors
    /// It is none; the name is taken, or the key is there under another name.
    pub fn import(&self, name: &str, text: &str) -> Result<EncryptionKey, KeysError> {
        self.add(name, &Identity::parse_key_data(text).map_err(KeysError::NotAKey)?)
    }

    fn add(&self, name: &str, identity: &Identity) -> Result<EncryptionKey, KeysError> {
        let recipient = identity.recipient().to_string();
        let secret = identity.to_secret_text();
        let sealed = self
            .vault
            .seal(&context(&recipient), secret.as_bytes())
            .map_err(|source| KeysError::Vault { name: name.to_owned(), source })?;
        let id = self.catalog.add_key(&NewKey {
            name: name.to_owned(),
            fingerprint: identity.recipient().fingerprint(),
            recipient,
            sealed,
            created: i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX),
        })?;
        Ok(self.catalog.key(id)?)
    }

    /// The private half as text, for a key sheet.
    ///
    /// # Errors
    /// No such key; the vault has another key.
    pub fn secret_text(&self, id: KeyId) -> Result<Zeroizing<String>, KeysError> {
        Ok(self.identity(&self.catalog.key(id)?)?.to_secret_text())
    }

    /// Every private half, to read with.
    ///
    /// # Errors
    /// The vault has another key.
    pub fn identities(&self) -> Result<Vec<Identity>, KeysError> {
        self.catalog.keys()?.iter().map(|key| self.identity(key)).collect()
    }

    /// Whom to encrypt for.
    ///
    /// # Errors
    /// No such key, or it is retired.
    pub fn recipient(&self, id: KeyId) -> Result<Recipient, KeysError> {
        let key = self.catalog.key(id)?;
        match key.retired {
            Some(_) => Err(KeysError::Retired { name: key.name }),
            None => recipient(&key),
        }
    }

    /// Every key that new data may be encrypted for.
    ///
    /// # Errors
    /// The catalog failed.
    pub fn recipients(&self) -> Result<Vec<Recipient>, KeysError> {
        let keys = self.catalog.keys()?;
        keys.iter().filter(|key| key.retired.is_none()).map(recipient).collect()
    }

    /// All keys with their secrets, for a sheet of paper.
    ///
    /// # Errors
    /// The vault has another key.
    pub fn sheet(&self) -> Result<Vec<SheetKey>, KeysError> {
        let keys = self.catalog.keys()?;
        keys.into_iter()
            .map(|key| {
                let secret = self.identity(&key)?.to_secret_text();
                Ok(SheetKey {
                    name: key.name,
                    recipient: key.recipient,
                    fingerprint: key.fingerprint,
                    created: key.created,
                    is_retired: key.retired.is_some(),
                    secret,
                })
            })
            .collect()
    }

    fn identity(&self, key: &EncryptionKey) -> Result<Identity, KeysError> {
        let failed = |source| KeysError::Vault { name: key.name.clone(), source };
        let damaged = || KeysError::Damaged { name: key.name.clone() };
        let bytes = self.vault.unseal(&context(&key.recipient), &key.sealed).map_err(failed)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
        let identity: Identity = text.parse().map_err(|_| damaged())?;
        if identity.recipient().to_string() != key.recipient {
            return Err(damaged());
        }
        Ok(identity)
    }
}

fn recipient(key: &EncryptionKey) -> Result<Recipient, KeysError> {
    key.recipient.parse().map_err(|_| KeysError::Damaged { name: key.name.clone() })
}

/// What binds a sealed identity to its row.
fn context(recipient: &str) -> String {
    format!("encryption_key/{recipient}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> (tempfile::TempDir, Catalog, Keys) {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
        let vault = Vault::open_with(directory.path(), None).unwrap();
        let ring = Keys::new(catalog.clone(), Arc::new(vault));
        (directory, catalog, ring)
    }

    #[test]
    fn keys_survive_sealed_and_open_with_their_own_vault_only() {
        let state = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&state.path().join("catalog.sqlite")).unwrap();
        let vault = Arc::new(Vault::open(state.path()).unwrap());
        let keys = Keys::new(catalog.clone(), vault);
        let made = keys.create("default").unwrap();
        assert!(made.fingerprint.starts_with("SHA256:") && made.recipient.starts_with("age1"));
        let other = Identity::generate().unwrap();
        let text = other.to_secret_text();
        let taken = keys.import("imported", &format!(" {}\n", text.as_str())).unwrap();
        assert_eq!(taken.recipient, other.recipient().to_string());
        assert_eq!(keys.secret_text(taken.id).unwrap().as_str(), text.as_str());
        assert_eq!(keys.identities().unwrap().len(), 2);
        assert!(!taken.sealed.windows(8).any(|window| text.as_bytes().windows(8).any(|w| w == window)));
        assert!(matches!(keys.import("again", &text), Err(KeysError::Catalog(CatalogError::Exists { .. }))));
        assert!(matches!(keys.import("x", "AGE-SECRET-KEY-1NOPE"), Err(KeysError::NotAKey(_))));
        let elsewhere = tempfile::tempdir().unwrap();
        let stranger = Keys::new(catalog, Arc::new(Vault::open(elsewhere.path()).unwrap()));
        assert!(matches!(stranger.identities(), Err(KeysError::Vault { .. })));
    }

    #[test]
    fn what_is_made_opens_what_is_encrypted_for_it() {
        let (_directory, catalog, ring) = ring();
        let key = ring.create("default").unwrap();
        assert_eq!(ring.recipient(key.id).unwrap().to_string(), key.recipient);
        assert_eq!(ring.identities().unwrap()[0].recipient().to_string(), key.recipient);
        let secret = ring.sheet().unwrap()[0].secret.clone();
        let stored = String::from_utf8_lossy(&catalog.key(key.id).unwrap().sealed).into_owned();
        assert!(!stored.contains(&*secret) && !format!("{:?}", ring.sheet().unwrap()).contains(&*secret));
        catalog.retire_key(key.id, 7).unwrap();
        assert!(matches!(ring.recipient(key.id), Err(KeysError::Retired { .. })));
        assert!(ring.recipients().unwrap().is_empty());
        assert_eq!(ring.identities().unwrap().len(), 1, "it still reads");
    }

    #[test]
    fn the_same_key_comes_in_once() {
        let (_directory, catalog, ring) = ring();
        let identity = Identity::generate().unwrap();
        let key = ring.import("imported", &identity.to_secret_text()).unwrap();
        assert_eq!(key.fingerprint, identity.recipient().fingerprint());
        let again = ring.import("other", &identity.to_secret_text());
        assert!(matches!(again, Err(KeysError::Catalog(CatalogError::Exists { .. }))));
        assert!(matches!(ring.import("x", "no key"), Err(KeysError::NotAKey(_))));
        assert_eq!(catalog.keys().unwrap().len(), 1);
    }

    #[test]
    fn a_secret_belongs_to_its_row() {
        let (directory, catalog, ring) = ring();
        let (one, other) = (ring.create("one").unwrap(), ring.create("other").unwrap());
        drop(catalog);
        let file = rusqlite::Connection::open(directory.path().join("catalog.sqlite")).unwrap();
        let sql = "UPDATE encryption_key SET sealed = (SELECT sealed FROM encryption_key WHERE id = ?1) WHERE id = ?2";
        file.execute(sql, [one.id.0, other.id.0]).unwrap();
        assert!(matches!(
            ring.identities(),
            Err(KeysError::Vault { source: VaultError::Unsealable { .. }, .. })
        ));
    }
}
