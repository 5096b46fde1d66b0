//! Roles beside the built-in ones.

use rusqlite::{Connection, ErrorCode, Row, params};

use super::{Catalog, CatalogError, Result};

/// A role of the administrator's own making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    /// Unique.
    pub name: String,
    /// For people.
    pub description: String,
    /// JSON object: resource to level.
    pub permissions: String,
    /// When it was made, nanoseconds since the epoch.
    pub created: i64,
}

fn read(row: &Row<'_>) -> rusqlite::Result<RoleRow> {
    Ok(RoleRow {
        name: row.get(0)?,
        description: row.get(1)?,
        permissions: row.get(2)?,
        created: row.get(3)?,
    })
}

pub(super) fn all(c: &Connection) -> Result<Vec<RoleRow>> {
    let mut statement =
        c.prepare_cached("SELECT name, description, permissions, created FROM role ORDER BY name")?;
    Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
}

fn missing(name: &str) -> CatalogError {
    CatalogError::NotFound { what: "role", name: name.to_owned() }
}

impl Catalog {
    /// All roles, by name.
    pub fn roles(&self) -> Result<Vec<RoleRow>> {
        all(&*self.pool.get()?)
    }

    /// Adds a role.
    ///
    /// # Errors
    /// [`CatalogError::Exists`].
    pub fn add_role(&self, role: &RoleRow) -> Result<()> {
        self.changing_access(|c| {
            let inserted = c.execute(
                "INSERT INTO role (name, description, permissions, created) VALUES (?1, ?2, ?3, ?4)",
                params![role.name, role.description, role.permissions, role.created],
            );
            match inserted {
                Ok(_) => Ok(()),
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    Err(CatalogError::Exists { what: "role", name: role.name.clone() })
                }
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Changes what a role says and may.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`].
    pub fn change_role(&self, name: &str, description: &str, permissions: &str) -> Result<()> {
        self.changing_access(|c| {
            let sql = "UPDATE role SET description = ?2, permissions = ?3 WHERE name = ?1";
            match c.execute(sql, params![name, description, permissions])? {
                0 => Err(missing(name)),
                _ => Ok(()),
            }
        })
    }

    /// Deletes a role that no user and no API key has.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], [`CatalogError::InUse`].
    pub fn delete_role(&self, name: &str) -> Result<()> {
        self.changing_access(|c| {
            let used = "SELECT EXISTS (SELECT 1 FROM user WHERE role = ?1)
                          OR EXISTS (SELECT 1 FROM api_key WHERE role = ?1)";
            if c.query_row(used, [name], |row| row.get(0))? {
                return Err(CatalogError::InUse {
                    what: "role",
                    name: name.to_owned(),
                    by: "a user or an API key has it".to_owned(),
                });
            }
            match c.execute("DELETE FROM role WHERE name = ?1", [name])? {
                0 => Err(missing(name)),
                _ => Ok(()),
            }
        })
    }
}
