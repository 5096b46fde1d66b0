//! Users: who may sign in.

use std::fmt;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};

use super::{Catalog, CatalogError, Result};

/// A password's hash as a PHC string; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// A user to add. Times are nanoseconds since the epoch.
#[derive(Debug, Clone)]
pub struct NewUserRow {
    /// Unique, case ignored.
    pub username: String,
    /// Name of a role.
    pub role: String,
    /// Where mail goes.
    pub email: Option<String>,
    /// For people.
    pub full_name: Option<String>,
    /// Hash of the password.
    pub password_hash: PasswordHash,
    /// Now.
    pub created: i64,
}

/// A user as the catalog knows one. Times are nanoseconds since the epoch.
#[derive(Debug, Clone)]
pub struct UserRow {
    /// Id; never given out again.
    pub id: i64,
    /// Unique, case ignored.
    pub username: String,
    /// Name of a role.
    pub role: String,
    /// Where mail goes.
    pub email: Option<String>,
    /// For people.
    pub full_name: Option<String>,
    /// Whether they may sign in.
    pub is_active: bool,
    /// Hash of the password.
    pub password_hash: PasswordHash,
    /// When the user was made.
    pub created: i64,
    /// Last time they signed in.
    pub last_login: Option<i64>,
    /// Wrong passwords since the last right one.
    pub failed: u32,
    /// No sign-in before.
    pub locked_until: Option<i64>,
}

/// What to change about a user; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct UserChangeRow {
    /// Name of a role.
    pub role: Option<String>,
    /// Where mail goes; the inner `None` removes it.
    pub email: Option<Option<String>>,
    /// For people; the inner `None` removes it.
    pub full_name: Option<Option<String>>,
    /// Whether they may sign in; `false` ends their sessions.
    pub is_active: Option<bool>,
    /// A new password ends their sessions, except `keep_session`.
    pub password_hash: Option<PasswordHash>,
    /// The session that changed the password.
    pub keep_session: Option<String>,
}

const COLUMNS: &str = "id, username, role, email, full_name, is_active, password_hash, created, last_login, failed, locked_until";

fn read(row: &Row<'_>) -> rusqlite::Result<UserRow> {
    Ok(UserRow {
        id: row.get(0)?,
        username: row.get(1)?,
        role: row.get(2)?,
        email: row.get(3)?,
        full_name: row.get(4)?,
        is_active: row.get(5)?,
        password_hash: PasswordHash(row.get(6)?),
        created: row.get(7)?,
        last_login: row.get(8)?,
        failed: row.get(9)?,
        locked_until: row.get(10)?,
    })
}

fn missing(id: i64) -> CatalogError {
    CatalogError::NotFound { what: "user", name: id.to_string() }
}

pub(super) fn all(c: &Connection) -> Result<Vec<UserRow>> {
    let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM user ORDER BY id"))?;
    Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
}

fn one(c: &Connection, id: i64) -> Result<UserRow> {
    let mut statement = c.prepare_cached(&format!("SELECT {COLUMNS} FROM user WHERE id = ?1"))?;
    statement.query_row([id], read).optional()?.ok_or_else(|| missing(id))
}

/// Fails where nobody who is active has the role `keep` any more.
fn somebody_has(c: &Connection, keep: &str) -> Result<()> {
    let active = "SELECT EXISTS (SELECT 1 FROM user WHERE role = ?1 AND is_active)";
    match c.query_row(active, [keep], |row| row.get(0))? {
        true => Ok(()),
        false => Err(CatalogError::LastOf { role: keep.to_owned() }),
    }
}

impl Catalog {
    /// Adds a user; with `only_first` only where there is none yet.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] where the name is in use, or `only_first` and there is a user.
    pub fn add_user(&self, new: &NewUserRow, only_first: bool) -> Result<UserRow> {
        let taken = || CatalogError::Exists { what: "user", name: new.username.clone() };
        self.changing_access(|c| {
            if only_first && c.query_row("SELECT EXISTS (SELECT 1 FROM user)", [], |row| row.get(0))? {
                return Err(taken());
            }
            let inserted = c.execute(
                "INSERT INTO user (username, role, email, full_name, is_active, password_hash, created)
                 VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6)",
                params![new.username, new.role, new.email, new.full_name, new.password_hash.0, new.created],
            );
            match inserted {
                Ok(_) => one(c, c.last_insert_rowid()),
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    Err(taken())
                }
                Err(error) => Err(error.into()),
            }
        })
    }

    /// All users, in the order they were added.
    pub fn users(&self) -> Result<Vec<UserRow>> {
        all(&*self.pool.get()?)
    }

    /// Whether there is a user.
    pub fn has_users(&self) -> Result<bool> {
        Ok(self.pool.get()?.query_row("SELECT EXISTS (SELECT 1 FROM user)", [], |row| row.get(0))?)
    }

    /// The user with this id.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`].
    pub fn user(&self, id: i64) -> Result<UserRow> {
        one(&*self.pool.get()?, id)
    }

    /// The user of this name, case ignored.
    pub fn user_by_name(&self, name: &str) -> Result<Option<UserRow>> {
        let reader = self.pool.get()?;
        let mut statement =
            reader.prepare_cached(&format!("SELECT {COLUMNS} FROM user WHERE username = ?1"))?;
        Ok(statement.query_row([name], read).optional()?)
    }

    /// Changes a user. Somebody active has the role `keep` afterwards.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], [`CatalogError::LastOf`].
    pub fn change_user(&self, id: i64, change: &UserChangeRow, keep: &str) -> Result<UserRow> {
        self.changing_access(|c| {
            let mut user = one(c, id)?;
            let could = user.is_active && user.role == keep;
            user.role = change.role.clone().unwrap_or(user.role);
            user.email = change.email.clone().unwrap_or(user.email);
            user.full_name = change.full_name.clone().unwrap_or(user.full_name);
            user.is_active = change.is_active.unwrap_or(user.is_active);
            c.execute(
                "UPDATE user SET role = ?2, email = ?3, full_name = ?4, is_active = ?5 WHERE id = ?1",
                params![id, user.role, user.email, user.full_name, user.is_active],
            )?;
            if let Some(hash) = &change.password_hash {
                c.execute(
                    "UPDATE user SET password_hash = ?2, failed = 0, locked_until = NULL WHERE id = ?1",
                    params![id, hash.0],
                )?;
                let kept = change.keep_session.as_deref().unwrap_or_default();
                c.execute("DELETE FROM session WHERE user_id = ?1 AND id <> ?2", params![id, kept])?;
            }
            if !user.is_active {
                c.execute("DELETE FROM session WHERE user_id = ?1", [id])?;
            }
            if could {
                somebody_has(c, keep)?;
            }
            one(c, id)
        })
    }

    /// Deletes a user with their sessions and API keys. Somebody active has the role `keep` afterwards.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], [`CatalogError::LastOf`].
    pub fn delete_user(&self, id: i64, keep: &str) -> Result<UserRow> {
        self.changing_access(|c| {
            let user = one(c, id)?;
            c.execute("DELETE FROM user WHERE id = ?1", [id])?;
            if user.is_active && user.role == keep {
                somebody_has(c, keep)?;
            }
            Ok(user)
        })
    }

    /// Counts a wrong password; the one that makes `lock_after` begins a lock until `locked_until`, and the count anew.
    /// Returns whether it did.
    pub fn count_failure(&self, id: i64, lock_after: u32, locked_until: i64) -> Result<bool> {
        self.durably(|c| {
            let failed: u32 = c
                .query_row(
                    "UPDATE user SET failed = failed + 1 WHERE id = ?1 RETURNING failed",
                    [id],
                    |row| row.get(0),
                )
                .optional()?
                .unwrap_or_default();
            let locks = lock_after > 0 && failed >= lock_after;
            if locks {
                c.execute("UPDATE user SET failed = 0, locked_until = ?2 WHERE id = ?1", [id, locked_until])?;
            }
            Ok(locks)
        })
    }

    /// Ends a lock and forgets wrong passwords.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`].
    pub fn unlock_user(&self, id: i64) -> Result<()> {
        self.durably(|c| {
            match c.execute("UPDATE user SET failed = 0, locked_until = NULL WHERE id = ?1", [id])? {
                0 => Err(missing(id)),
                _ => Ok(()),
            }
        })
    }
}
