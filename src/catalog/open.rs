//! Opening: create, migrate, recognise damage.

use std::collections::HashMap;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::pool::{Pool, open_reader};
use super::{CatalogError, Result};

/// Bytes of a page: measured, see docs/catalog.md.
const PAGE_SIZE: i64 = 8192;
/// "RWC1".
const APPLICATION_ID: i64 = 0x5257_4331;
/// Pages of the log after which a commit copies it into the file.
const CHECKPOINT_PAGES: i64 = 4000;

const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001-initial.sql"),
    include_str!("../../migrations/0002-access.sql"),
    include_str!("../../migrations/0003-tasks.sql"),
    include_str!("../../migrations/0004-health.sql"),
    include_str!("../../migrations/0005-devices.sql"),
    include_str!("../../migrations/0006-increments.sql"),
    include_str!("../../migrations/0007-queue.sql"),
];

/// The one writing connection and what is known about rows that it has not written yet.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: Connection,
    /// Directories that have an id and no row yet, by parent and name.
    pub(super) new_directories: HashMap<(i64, Box<[u8]>), i64>,
    /// First id that has no row yet.
    pub(super) first_new: i64,
    /// Next id to give out.
    pub(super) next_directory: i64,
    /// See [`Catalog::changes`].
    changes: Arc<AtomicU64>,
}

/// The catalog of one state directory. Cheap to clone; all clones share the writing connection.
#[derive(Debug, Clone)]
pub struct Catalog {
    path: PathBuf,
    writer: Arc<Mutex<Writer>>,
    pub(super) pool: Arc<Pool>,
    changes: Arc<AtomicU64>,
}

impl Catalog {
    /// Opens the catalog at `path`; creates or migrates it where needed.
    ///
    /// # Errors
    /// [`CatalogError::Corrupt`] where the file is not a usable catalog: the caller may [`Catalog::move_aside`] and rebuild.
    pub fn open(path: &Path) -> Result<Catalog> {
        Catalog::open_with_page_size(path, PAGE_SIZE)
    }

    /// The same with another page size for a new file: to measure.
    #[doc(hidden)]
    pub fn open_with_page_size(path: &Path, page_size: i64) -> Result<Catalog> {
        let connection = prepare(path, page_size).map_err(|error| corrupt_or(error, path))?;
        let next = connection.query_row("SELECT ifnull(max(id), 0) + 1 FROM directory", [], |r| r.get(0))?;
        let changes = Arc::<AtomicU64>::default();
        Ok(Catalog {
            path: path.to_path_buf(),
            writer: Arc::new(Mutex::new(Writer {
                connection,
                new_directories: HashMap::new(),
                first_new: next,
                next_directory: next,
                changes: changes.clone(),
            })),
            pool: Pool::new(path),
            changes,
        })
    }

    /// Renames a catalog and its log so that a new one can take its place; returns the new path. Nothing is deleted.
    pub fn move_aside(path: &Path) -> Result<PathBuf> {
        let io = |source| CatalogError::Io { path: path.to_path_buf(), source };
        let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let base = append(path, &format!(".damaged-{stamp}"));
        let mut target = base.clone();
        let mut number = 1;
        while target.try_exists().map_err(io)? {
            number += 1;
            target = append(&base, &format!("-{number}"));
        }
        for suffix in ["-wal", "-shm", ""] {
            let from = append(path, suffix);
            if from.try_exists().map_err(io)? {
                std::fs::rename(&from, append(&target, suffix)).map_err(io)?;
            }
        }
        Ok(target)
    }

    /// A read-only connection of its own, for queries beyond this module.
    pub fn readers(&self) -> Result<Connection> {
        open_reader(&self.path)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Counts the commits of this process: what was read at one count holds as long as the count does.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in one transaction that is on the disk when this returns.
    pub(super) fn durably<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.lock().transaction(true, work)
    }
}

impl Writer {
    /// One transaction. `durable`: on the disk when this returns; otherwise a power cut may undo it, in order.
    pub(super) fn transaction<T>(
        &mut self,
        durable: bool,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        self.connection.pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
        self.changes.fetch_add(1, Ordering::Release);
        Ok(result)
    }
}

fn append(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn corrupt_or(error: CatalogError, path: &Path) -> CatalogError {
    if error.is_damage() { CatalogError::Corrupt { path: path.to_path_buf() } } else { error }
}

fn prepare(path: &Path, page_size: i64) -> Result<Connection> {
    // Names of all files and hashes of passwords: for nobody else. SQLite gives its other files the same mode. A path that
    // cannot be made is SQLite's to tell about.
    let _ = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path);
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "page_size", page_size)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -16384)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    migrate(&mut connection, path, MIGRATIONS)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<()> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |r| r.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |r| r.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    if tables > 0 && application != APPLICATION_ID {
        return Err(CatalogError::Corrupt { path: path.to_path_buf() });
    }
    let known = migrations.len() as i64;
    if version > known {
        return Err(CatalogError::TooNew { path: path.to_path_buf(), found: version, known });
    }
    for (number, sql) in (1i64..).zip(migrations) {
        if number <= version {
            continue;
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have come first.
        if transaction.pragma_query_value(None, "user_version", |r| r.get::<_, i64>(0))? < number {
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", number)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
