//! API keys: what programs sign in with. Only the hash of the secret is here.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Catalog, CatalogError, Result};

/// An API key. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// Id; never given out again. Ignored when a key is added.
    pub id: i64,
    /// Who made it; its rights never exceed theirs.
    pub user_id: Option<i64>,
    /// For people.
    pub name: String,
    /// Name of a role.
    pub role: String,
    /// Beginning of the secret, to tell keys apart.
    pub prefix: String,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// When it was made.
    pub created: i64,
    /// When it ends.
    pub expires: Option<i64>,
    /// When it was last used, to the minute or so.
    pub last_used: Option<i64>,
}

const COLUMNS: &str = "id, user_id, name, role, prefix, hash, created, expires, last_used";

fn read(row: &Row<'_>) -> rusqlite::Result<ApiKeyRow> {
    Ok(ApiKeyRow {
        id: row.get(0)?,
        user_id: row.get(1)?,
        name: row.get(2)?,
        role: row.get(3)?,
        prefix: row.get(4)?,
        hash: row.get(5)?,
        created: row.get(6)?,
        expires: row.get(7)?,
        last_used: row.get(8)?,
    })
}

pub(super) fn all(c: &Connection) -> Result<Vec<ApiKeyRow>> {
    let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM api_key ORDER BY id"))?;
    Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
}

impl Catalog {
    /// Adds a key; returns its id.
    pub fn add_api_key(&self, key: &ApiKeyRow) -> Result<i64> {
        self.changing_access(|c| {
            c.execute(
                "INSERT INTO api_key (user_id, name, role, prefix, hash, created, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![key.user_id, key.name, key.role, key.prefix, key.hash, key.created, key.expires],
            )?;
            Ok(c.last_insert_rowid())
        })
    }

    /// All keys, in the order they were made.
    pub fn api_keys(&self) -> Result<Vec<ApiKeyRow>> {
        all(&*self.pool.get()?)
    }

    /// The key with this id.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`].
    pub fn api_key(&self, id: i64) -> Result<ApiKeyRow> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("SELECT {COLUMNS} FROM api_key WHERE id = ?1"))?;
        let missing = || CatalogError::NotFound { what: "API key", name: id.to_string() };
        statement.query_row([id], read).optional()?.ok_or_else(missing)
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`].
    pub fn delete_api_key(&self, id: i64) -> Result<()> {
        self.changing_access(|c| match c.execute("DELETE FROM api_key WHERE id = ?1", [id])? {
            0 => Err(CatalogError::NotFound { what: "API key", name: id.to_string() }),
            _ => Ok(()),
        })
    }
}
