//! Pools: volumes that belong together. A volume names its pool, as the tape does; the row is what is known beyond the name.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::error::{changed_one, unique};
use super::{Catalog, CatalogError, PoolId, Result};

/// A pool. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Id in this catalog.
    pub id: PoolId,
    /// Its name, as volumes on tape have it.
    pub name: String,
    /// For people.
    pub description: String,
    /// Days after which a set in it expires; never when not given.
    pub retention_days: Option<u32>,
    /// When it was added.
    pub created: i64,
    /// When it was changed.
    pub updated: i64,
}

/// A pool to add.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewPool {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Days after which a set in it expires; never when not given.
    pub retention_days: Option<u32>,
    /// When it is added: nanoseconds since the epoch.
    pub created: i64,
}

const SELECT: &str = "SELECT id, name, description, retention_days, created, updated FROM pool";

fn read(row: &Row<'_>) -> rusqlite::Result<Pool> {
    Ok(Pool {
        id: row.get(0)?,
        name: row.get(1)?,
        description: row.get(2)?,
        retention_days: row.get(3)?,
        created: row.get(4)?,
        updated: row.get(5)?,
    })
}

/// A pool that a volume names has a row.
pub(super) fn ensure(connection: &Connection, name: Option<&str>, created: i64) -> Result<()> {
    if let Some(name) = name {
        connection.execute(
            "INSERT INTO pool (name, created, updated) VALUES (?1, ?2, ?2) ON CONFLICT (name) DO NOTHING",
            params![name, created],
        )?;
    }
    Ok(())
}

impl Catalog {
    /// Adds a pool.
    ///
    /// # Errors
    /// [`CatalogError::Exists`].
    pub fn add_pool(&self, new: &NewPool) -> Result<PoolId> {
        self.durably(|c| {
            c.execute(
                "INSERT INTO pool (name, description, retention_days, created, updated) VALUES (?1, ?2, ?3, ?4, ?4)",
                params![new.name, new.description, new.retention_days, new.created],
            )
            .map_err(unique("pool", &new.name))?;
            Ok(PoolId(c.last_insert_rowid()))
        })
    }

    /// The pool with this id.
    pub fn pool(&self, id: PoolId) -> Result<Pool> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
        let found = statement.query_row([id], read).optional()?;
        found.ok_or_else(|| CatalogError::NotFound { what: "pool", name: id.to_string() })
    }

    /// The pool with this name.
    pub fn pool_by_name(&self, name: &str) -> Result<Option<Pool>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} WHERE name = ?1"))?;
        Ok(statement.query_row([name], read).optional()?)
    }

    /// All pools, in the order they were added.
    pub fn pools(&self) -> Result<Vec<Pool>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} ORDER BY id"))?;
        Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Volumes that name this pool.
    pub fn tape_count(&self, name: &str) -> Result<u64> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached("SELECT count(*) FROM volume WHERE pool = ?1")?;
        Ok(statement.query_row([name], |row| super::ids::uint(row, 0))?)
    }

    /// Writes everything but id and creation; a new name is that of its volumes too, in the same transaction.
    ///
    /// # Errors
    /// [`CatalogError::Exists`], [`CatalogError::NotFound`].
    pub fn update_pool(&self, pool: &Pool) -> Result<()> {
        self.durably(|c| {
            c.execute(
                "UPDATE volume SET pool = ?2, updated = ?3
                 WHERE pool = (SELECT name FROM pool WHERE id = ?1 AND name <> ?2)",
                params![pool.id, pool.name, pool.updated],
            )?;
            let changed = c
                .execute(
                    "UPDATE pool SET name = ?2, description = ?3, retention_days = ?4, updated = ?5 WHERE id = ?1",
                    params![pool.id, pool.name, pool.description, pool.retention_days, pool.updated],
                )
                .map_err(unique("pool", &pool.name))?;
            changed_one(changed, "pool", pool.id)
        })
    }

    /// Forgets a pool.
    ///
    /// # Errors
    /// [`CatalogError::InUse`] while volumes or jobs name it.
    pub fn remove_pool(&self, id: PoolId) -> Result<()> {
        self.durably(|c| {
            let name: Option<String> =
                c.query_row("SELECT name FROM pool WHERE id = ?1", [id], |row| row.get(0)).optional()?;
            let name = name.ok_or_else(|| CatalogError::NotFound { what: "pool", name: id.to_string() })?;
            let tapes: i64 =
                c.query_row("SELECT count(*) FROM volume WHERE pool = ?1", [&name], |row| row.get(0))?;
            let jobs: i64 =
                c.query_row("SELECT count(*) FROM job WHERE pool_id = ?1", [id], |row| row.get(0))?;
            if tapes > 0 || jobs > 0 {
                let by = format!("{tapes} tapes and {jobs} jobs are in it; give them another pool first");
                return Err(CatalogError::InUse { what: "pool", name, by });
            }
            c.execute("DELETE FROM pool WHERE id = ?1", [id])?;
            Ok(())
        })
    }
}
