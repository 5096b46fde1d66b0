//! Read-only connections, kept for reuse.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::Result;

/// Idle connections kept open.
const IDLE: usize = 4;

/// Hands out read-only connections.
#[derive(Debug)]
pub(super) struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(path: &Path) -> Arc<Self> {
        Arc::new(Pool { path: path.to_path_buf(), idle: Mutex::new(Vec::new()) })
    }

    /// An idle connection, or a new one.
    pub(super) fn get(self: &Arc<Self>) -> Result<Reader> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.path)?,
        };
        Ok(Reader { pool: self.clone(), connection: Some(connection) })
    }
}

/// A read-only connection of its own.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    // WAL needs a writable file handle for its shared memory; `query_only` keeps the connection from writing.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// A borrowed connection; it goes back when dropped.
#[derive(Debug)]
pub(super) struct Reader {
    pool: Arc<Pool>,
    connection: Option<Connection>,
}

impl Deref for Reader {
    type Target = Connection;

    #[allow(clippy::expect_used, reason = "the connection is taken out only by drop")]
    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a reader has its connection until it is dropped")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // A connection with a transaction still open (its owner failed) would pin the log.
        if let Some(connection) = self.connection.take()
            && idle.len() < IDLE
            && connection.is_autocommit()
        {
            idle.push(connection);
        }
    }
}
