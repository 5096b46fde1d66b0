//! Sessions: what a sign-in began. Access tokens are good while their session has a row.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Catalog, CatalogError, Result};

/// A session. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Random.
    pub id: String,
    /// Whose it is.
    pub user_id: i64,
    /// Refresh tokens handed out before the present one.
    pub generation: u32,
    /// When it began.
    pub created: i64,
    /// When it was last used, to the minute or so.
    pub last_seen: i64,
    /// When its refresh token ends.
    pub expires: i64,
    /// Where it was last used from.
    pub address: Option<String>,
}

/// What came of a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The session goes on with the next generation.
    Rotated,
    /// The generation was handed out before: somebody has a stolen token. The session is ended.
    Reused {
        /// Whose session it was.
        user_id: i64,
    },
    /// There is no such session, or it is over.
    Gone,
}

const COLUMNS: &str = "id, user_id, generation, created, last_seen, expires, address";

fn read(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    Ok(SessionRow {
        id: row.get(0)?,
        user_id: row.get(1)?,
        generation: row.get(2)?,
        created: row.get(3)?,
        last_seen: row.get(4)?,
        expires: row.get(5)?,
        address: row.get(6)?,
    })
}

pub(super) fn all(c: &Connection) -> Result<Vec<SessionRow>> {
    let mut statement =
        c.prepare_cached(&format!("SELECT {COLUMNS} FROM session ORDER BY created DESC, id"))?;
    Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
}

impl Catalog {
    /// Begins a session of a user who just signed in; of their sessions the `most` that were used last stay.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where the user is gone, or no longer as in `hash`.
    pub fn begin_session(&self, session: &SessionRow, hash: &super::PasswordHash, most: u32) -> Result<()> {
        let s = session;
        self.changing_access(|c| {
            let signed_in = c.execute(
                "UPDATE user SET last_login = ?2, failed = 0, locked_until = NULL
                 WHERE id = ?1 AND is_active AND password_hash = ?3",
                params![s.user_id, s.created, hash.0],
            )?;
            if signed_in == 0 {
                return Err(CatalogError::NotFound { what: "user", name: s.user_id.to_string() });
            }
            c.execute(
                "INSERT INTO session (id, user_id, generation, created, last_seen, expires, address)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![s.id, s.user_id, s.generation, s.created, s.last_seen, s.expires, s.address],
            )?;
            c.execute(
                "DELETE FROM session WHERE user_id = ?1 AND id <> ?2 AND id NOT IN
                   (SELECT id FROM session WHERE user_id = ?1 AND id <> ?2 ORDER BY last_seen DESC, id LIMIT ?3)",
                params![s.user_id, s.id, most.saturating_sub(1)],
            )?;
            Ok(())
        })
    }

    /// Goes on to the next generation, or ends the session where `generation` is an earlier one.
    pub fn rotate_session(&self, id: &str, generation: u32, now: i64, expires: i64) -> Result<Rotation> {
        self.changing_access(|c| {
            let found: Option<(u32, i64, i64)> = c
                .query_row("SELECT generation, expires, user_id FROM session WHERE id = ?1", [id], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .optional()?;
            match found {
                Some((current, until, _)) if current == generation && now < until => {
                    c.execute(
                        "UPDATE session SET generation = generation + 1, last_seen = ?2, expires = ?3 WHERE id = ?1",
                        params![id, now, expires],
                    )?;
                    Ok(Rotation::Rotated)
                }
                Some((current, _, user_id)) if generation < current => {
                    c.execute("DELETE FROM session WHERE id = ?1", [id])?;
                    Ok(Rotation::Reused { user_id })
                }
                _ => Ok(Rotation::Gone),
            }
        })
    }

    /// All sessions, the newest first; of one user or of all.
    pub fn sessions(&self, user: Option<i64>) -> Result<Vec<SessionRow>> {
        let sessions = all(&*self.pool.get()?)?;
        Ok(sessions.into_iter().filter(|session| user.is_none_or(|user| session.user_id == user)).collect())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`].
    pub fn end_session(&self, id: &str) -> Result<()> {
        self.changing_access(|c| match c.execute("DELETE FROM session WHERE id = ?1", [id])? {
            0 => Err(CatalogError::NotFound { what: "session", name: id.to_owned() }),
            _ => Ok(()),
        })
    }

    /// Removes sessions that are over; returns how many.
    pub fn remove_expired_sessions(&self, now: i64) -> Result<usize> {
        let over = "SELECT EXISTS (SELECT 1 FROM session WHERE expires <= ?1)";
        if !self.pool.get()?.query_row(over, [now], |row| row.get(0))? {
            return Ok(0);
        }
        self.changing_access(|c| Ok(c.execute("DELETE FROM session WHERE expires <= ?1", [now])?))
    }
}
