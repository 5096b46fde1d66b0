//! All that decides who may do what, read at once, and the count of its changes.

use rusqlite::{Connection, params};

use super::{ApiKeyRow, Catalog, Result, RoleRow, SessionRow, UserRow, api_keys, roles, sessions, users};

/// A key that signs access tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeyRow {
    /// Stands in the header of a token.
    pub id: i64,
    /// Sealed by the vault.
    pub sealed: Vec<u8>,
    /// When it was made, nanoseconds since the epoch.
    pub created: i64,
}

/// Everything that decides who may do what, as of one moment.
#[derive(Debug, Clone)]
pub struct AccessRows {
    /// Counts changes.
    pub epoch: i64,
    /// All users.
    pub users: Vec<UserRow>,
    /// Roles beside the built-in ones.
    pub roles: Vec<RoleRow>,
    /// All sessions.
    pub sessions: Vec<SessionRow>,
    /// All API keys.
    pub api_keys: Vec<ApiKeyRow>,
    /// Keys that sign access tokens, the newest last.
    pub signing_keys: Vec<SigningKeyRow>,
}

fn epoch(c: &Connection) -> Result<i64> {
    Ok(c.prepare_cached("SELECT epoch FROM access_state WHERE id = 1")?.query_row([], |row| row.get(0))?)
}

impl Catalog {
    /// A durable change to what decides who may do what.
    pub(super) fn changing_access<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.durably(|c| {
            let result = work(c)?;
            c.execute("UPDATE access_state SET epoch = epoch + 1 WHERE id = 1", [])?;
            Ok(result)
        })
    }

    /// Counts changes to what decides who may do what, also those of other processes.
    pub fn access_epoch(&self) -> Result<i64> {
        epoch(&*self.pool.get()?)
    }

    /// Everything that decides who may do what.
    pub fn access_rows(&self) -> Result<AccessRows> {
        let reader = self.pool.get()?;
        let c = reader.unchecked_transaction()?;
        let mut statement = c.prepare_cached("SELECT id, sealed, created FROM signing_key ORDER BY id")?;
        let keys = statement.query_map([], |row| {
            Ok(SigningKeyRow { id: row.get(0)?, sealed: row.get(1)?, created: row.get(2)? })
        })?;
        Ok(AccessRows {
            epoch: epoch(&c)?,
            users: users::all(&c)?,
            roles: roles::all(&c)?,
            sessions: sessions::all(&c)?,
            api_keys: api_keys::all(&c)?,
            signing_keys: keys.collect::<rusqlite::Result<_>>()?,
        })
    }

    /// Adds a key that signs access tokens where the newest is `newest` still, and removes those that signed nothing since
    /// `old`. The secret is sealed by `seal`, which is told the id.
    pub fn add_signing_key<E>(
        &self,
        newest: Option<i64>,
        created: i64,
        old: i64,
        seal: impl FnOnce(i64) -> std::result::Result<Vec<u8>, E>,
    ) -> Result<std::result::Result<(), E>> {
        self.changing_access(|c| {
            let found: Option<i64> = c.query_row("SELECT max(id) FROM signing_key", [], |row| row.get(0))?;
            if found != newest {
                return Ok(Ok(())); // another process came first
            }
            c.execute("INSERT INTO signing_key (sealed, created) VALUES (x'', ?1)", [created])?;
            let id = c.last_insert_rowid();
            let sealed = match seal(id) {
                Ok(sealed) => sealed,
                Err(error) => {
                    c.execute("DELETE FROM signing_key WHERE id = ?1", [id])?;
                    return Ok(Err(error));
                }
            };
            c.execute("UPDATE signing_key SET sealed = ?2 WHERE id = ?1", params![id, sealed])?;
            c.execute(
                "DELETE FROM signing_key WHERE id < (SELECT max(id) FROM signing_key WHERE created <= ?1)",
                [old],
            )?;
            Ok(Ok(()))
        })
    }

    /// Writes when sessions (and from where) and API keys were last used.
    pub fn note_use(&self, sessions: &[(String, i64, String)], api_keys: &[(i64, i64)]) -> Result<()> {
        if sessions.is_empty() && api_keys.is_empty() {
            return Ok(());
        }
        self.lock().transaction(false, |c| {
            for (id, time, address) in sessions {
                c.execute(
                    "UPDATE session SET last_seen = max(last_seen, ?2), address = ?3 WHERE id = ?1",
                    params![id, time, address],
                )?;
            }
            for (id, time) in api_keys {
                c.execute(
                    "UPDATE api_key SET last_used = max(ifnull(last_used, 0), ?2) WHERE id = ?1",
                    [id, time],
                )?;
            }
            Ok(())
        })
    }
}
