//! API keys: what programs carry. The secret is shown once; its hash is kept.

use zeroize::Zeroizing;

use super::gate::Access;
use super::{AccessError, Principal, Result, secret};
use crate::catalog::ApiKeyRow;

/// What an API key begins with.
pub(super) const PREFIX: &str = "rw_";
/// Characters of a key that are kept to tell keys apart.
const SHOWN: usize = 8;

/// An API key, without its secret. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Id; never given out again.
    pub id: i64,
    /// For people.
    pub name: String,
    /// Who made it; its rights never exceed theirs.
    pub user_id: Option<i64>,
    /// Name of the role.
    pub role: String,
    /// Beginning of the secret: `rw_AbCdE...`.
    pub prefix: String,
    /// When it was made.
    pub created: i64,
    /// When it ends.
    pub expires: Option<i64>,
    /// When it was last used, to the minute or so.
    pub last_used: Option<i64>,
}

/// A key just made: the only time that its secret is known.
#[derive(Clone)]
pub struct NewApiKey {
    /// What is kept of it.
    pub key: ApiKey,
    /// The secret.
    pub secret: Zeroizing<String>,
}

impl std::fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewApiKey({:?})", self.key)
    }
}

impl From<ApiKeyRow> for ApiKey {
    fn from(row: ApiKeyRow) -> Self {
        ApiKey {
            id: row.id,
            name: row.name,
            user_id: row.user_id,
            role: row.role,
            prefix: row.prefix,
            created: row.created,
            expires: row.expires,
            last_used: row.last_used,
        }
    }
}

impl Access {
    /// Makes a key for programs; nobody can give more rights than they have. `expires` in nanoseconds since the epoch.
    ///
    /// # Errors
    /// A name that is none, a time gone by, no such role, rights that `by` has not.
    pub fn create_api_key(
        &self,
        by: &Principal,
        name: &str,
        role: &str,
        expires: Option<i64>,
    ) -> Result<NewApiKey> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            let reason = "must be 1 to 100 characters without controls".to_owned();
            return Err(AccessError::Invalid { field: "name", reason });
        }
        let now = self.now();
        if expires.is_some_and(|expires| expires <= now) {
            return Err(AccessError::Invalid { field: "expires_at", reason: "lies in the past".to_owned() });
        }
        self.accounts().may_grant(by, role)?;
        let secret = Zeroizing::new(format!("{PREFIX}{}", secret::to_text(&*secret::random::<32>()?)));
        let shown: String = secret.chars().take(SHOWN).collect();
        let mut row = ApiKeyRow {
            id: 0,
            user_id: by.user_id,
            name: name.to_owned(),
            role: role.to_owned(),
            prefix: format!("{shown}..."),
            hash: secret::hash(&secret),
            created: now,
            expires,
            last_used: None,
        };
        row.id = self.accounts().catalog().add_api_key(&row)?;
        Ok(NewApiKey { key: row.into(), secret })
    }

    /// All keys, in the order they were made.
    pub fn api_keys(&self) -> Result<Vec<ApiKey>> {
        let rows = self.accounts().catalog().api_keys()?;
        let keys = rows.into_iter().map(|row| {
            let used = self.unwritten_key_use(row.id);
            ApiKey { last_used: row.last_used.max(used), ..row.into() }
        });
        Ok(keys.collect())
    }

    /// Deletes a key; it is worth nothing from now on.
    ///
    /// # Errors
    /// None with this id; it allows more than `by` may.
    pub fn delete_api_key(&self, by: &Principal, id: i64) -> Result<ApiKey> {
        let catalog = self.accounts().catalog();
        let row = catalog.api_key(id)?;
        let theirs = super::roles::permissions_of(&row.role, &catalog.roles()?).unwrap_or_default();
        if !by.permissions.covers(&theirs) {
            return Err(AccessError::Forbidden(format!("the key {} may do more than you", row.name)));
        }
        catalog.delete_api_key(id)?;
        Ok(row.into())
    }
}
