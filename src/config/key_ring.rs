//! The encryption keys of this installation: made, imported, opened for a task, forgotten.

use std::sync::Arc;

use super::key_sheet::SheetKey;
use super::{Vault, VaultError};
use crate::catalog::{Catalog, CatalogError, EncryptionKey, KeyId, NewKey};
use crate::format::age::{AgeError, Identity, Recipient};

/// Why a key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// The catalog refused or failed.
    #[error("encryption keys: the catalog failed")]
    Catalog(#[from] CatalogError),
    /// A secret cannot be sealed or opened.
    #[error("encryption keys: a secret cannot be sealed or opened")]
    Vault(#[from] VaultError),
    /// What was imported is no key, or the system gave no random numbers.
    #[error("encryption keys: {0}")]
    Age(#[from] AgeError),
    /// A sealed value holds something else.
    #[error("encryption key {name}: what is sealed is no key")]
    Damaged {
        /// Its name.
        name: String,
    },
    /// Nothing may be encrypted for it any more.
    #[error("encryption key {name} is retired: it opens what it was used for, and takes nothing new")]
    Retired {
        /// Its name.
        name: String,
    },
}

/// The keys in the catalog and what opens them.
#[derive(Debug, Clone)]
pub struct KeyRing {
    catalog: Catalog,
    vault: Arc<Vault>,
}

fn context(recipient: &str) -> String {
    format!("encryption_key/{recipient}")
}

impl KeyRing {
    /// The keys of a catalog.
    pub fn new(catalog: Catalog, vault: Arc<Vault>) -> KeyRing {
        KeyRing { catalog, vault }
    }

    /// Makes a key. `now` is nanoseconds since the epoch.
    ///
    /// # Errors
    /// The name is taken; no random numbers.
    pub fn create(&self, name: &str, now: i64) -> Result<EncryptionKey, KeyRingError> {
        self.add(name, &Identity::generate()?, now)
    }

    /// Takes in a key made elsewhere; see [`Identity::parse_key_data`]. `now` is nanoseconds since the epoch.
    ///
    /// # Errors
    /// It is no key; the name is taken, or the key is there already.
    pub fn import(&self, name: &str, key_data: &str, now: i64) -> Result<EncryptionKey, KeyRingError> {
        self.add(name, &Identity::parse_key_data(key_data)?, now)
    }

    fn add(&self, name: &str, identity: &Identity, now: i64) -> Result<EncryptionKey, KeyRingError> {
        let recipient = identity.recipient();
        let text = recipient.to_string();
        let sealed = self.vault.seal(&context(&text), identity.to_secret_text().as_bytes())?;
        let new = NewKey {
            name: name.to_owned(),
            recipient: text,
            fingerprint: recipient.fingerprint(),
            sealed,
            created: now,
        };
        let id = self.catalog.add_key(&new)?;
        Ok(self.catalog.key(id)?)
    }

    /// Whom to encrypt for.
    ///
    /// # Errors
    /// No such key, or it is retired.
    pub fn recipient(&self, id: KeyId) -> Result<Recipient, KeyRingError> {
        let key = self.catalog.key(id)?;
        if key.retired.is_some() {
            return Err(KeyRingError::Retired { name: key.name });
        }
        Ok(key.recipient.parse()?)
    }

    /// Every key that new data may be encrypted for.
    ///
    /// # Errors
    /// The catalog failed.
    pub fn recipients(&self) -> Result<Vec<Recipient>, KeyRingError> {
        let keys = self.catalog.keys()?.into_iter().filter(|key| key.retired.is_none());
        keys.map(|key| Ok(key.recipient.parse()?)).collect()
    }

    /// All private halves, to read with.
    ///
    /// # Errors
    /// A secret cannot be opened.
    pub fn identities(&self) -> Result<Vec<Identity>, KeyRingError> {
        self.catalog.keys()?.iter().map(|key| self.open(key)).collect()
    }

    /// All keys with their secrets, for a sheet of paper.
    ///
    /// # Errors
    /// A secret cannot be opened.
    pub fn sheet(&self) -> Result<Vec<SheetKey>, KeyRingError> {
        let keys = self.catalog.keys()?;
        keys.into_iter()
            .map(|key| {
                let secret = self.open(&key)?.to_secret_text();
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

    fn open(&self, key: &EncryptionKey) -> Result<Identity, KeyRingError> {
        let damaged = || KeyRingError::Damaged { name: key.name.clone() };
        let secret = self.vault.unseal(&context(&key.recipient), &key.sealed)?;
        let text = std::str::from_utf8(&secret).map_err(|_| damaged())?;
        let identity: Identity = text.parse().map_err(|_| damaged())?;
        if identity.recipient().to_string() != key.recipient {
            return Err(damaged());
        }
        Ok(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> (tempfile::TempDir, Catalog, KeyRing) {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
        let vault = Vault::open_with(directory.path(), None).unwrap();
        let ring = KeyRing::new(catalog.clone(), Arc::new(vault));
        (directory, catalog, ring)
    }

    #[test]
    fn what_is_made_opens_what_is_encrypted_for_it() {
        let (_directory, catalog, ring) = ring();
        let key = ring.create("default", 5).unwrap();
        assert_eq!(ring.recipient(key.id).unwrap().to_string(), key.recipient);
        assert_eq!(ring.identities().unwrap()[0].recipient().to_string(), key.recipient);
        let secret = ring.sheet().unwrap()[0].secret.clone();
        let stored = String::from_utf8_lossy(&catalog.key(key.id).unwrap().sealed).into_owned();
        assert!(!stored.contains(&*secret) && !format!("{:?}", ring.sheet().unwrap()).contains(&*secret));
        catalog.retire_key(key.id, 7).unwrap();
        assert!(matches!(ring.recipient(key.id), Err(KeyRingError::Retired { .. })));
        assert!(ring.recipients().unwrap().is_empty());
        assert_eq!(ring.identities().unwrap().len(), 1, "it still reads");
    }

    #[test]
    fn the_same_key_comes_in_once() {
        let (_directory, catalog, ring) = ring();
        let identity = Identity::generate().unwrap();
        let key = ring.import("imported", &identity.to_secret_text(), 5).unwrap();
        assert_eq!(key.fingerprint, identity.recipient().fingerprint());
        let again = ring.import("other", &identity.to_secret_text(), 5);
        assert!(matches!(again, Err(KeyRingError::Catalog(CatalogError::Exists { .. }))));
        assert!(matches!(ring.import("x", "no key", 5), Err(KeyRingError::Age(_))));
        assert_eq!(catalog.keys().unwrap().len(), 1);
    }

    #[test]
    fn a_secret_belongs_to_its_row() {
        let (directory, catalog, ring) = ring();
        let (one, other) = (ring.create("one", 5).unwrap(), ring.create("other", 5).unwrap());
        drop(catalog);
        let file = rusqlite::Connection::open(directory.path().join("catalog.sqlite")).unwrap();
        let sql = "UPDATE encryption_key SET sealed = (SELECT sealed FROM encryption_key WHERE id = ?1) WHERE id = ?2";
        file.execute(sql, [one.id.0, other.id.0]).unwrap();
        assert!(matches!(ring.identities(), Err(KeyRingError::Vault(VaultError::Unsealable { .. }))));
    }
}
