//! Jobs: which source goes into which pool, when and how. A set names its job, as the tape does.

use rusqlite::{OptionalExtension, Row, params};

use super::error::{changed_one, unique};
use super::text_enum::text_enum;
use super::{Catalog, CatalogError, JobId, KeyId, PoolId, Result, SourceId};

text_enum! {
    /// What of the source a run stores.
    BackupType {
        /// Everything.
        Full = "full",
        /// What changed since the last run.
        Incremental = "incremental",
        /// What changed since the last full run.
        Differential = "differential",
    }
}

/// A job to add. Its time is nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Its name: the one its sets have.
    pub name: String,
    /// What it backs up.
    pub source: SourceId,
    /// Where to.
    pub pool: PoolId,
    /// What of the source, unless a run says otherwise.
    pub backup_type: BackupType,
    /// Cron expression; run by hand only when not given.
    pub schedule: Option<String>,
    /// Zone of the schedule, as `Europe/Berlin`; the machine's when not given.
    pub time_zone: Option<String>,
    /// Whether its schedule counts.
    pub enabled: bool,
    /// `none` or `zstd`.
    pub compression: String,
    /// Key that its sets are encrypted for.
    pub encryption_key: Option<KeyId>,
    /// How often a failed run is tried again.
    pub retries: u32,
    /// When it is added.
    pub created: i64,
}

/// A job. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Id in this catalog.
    pub id: JobId,
    /// Its name: the one its sets have.
    pub name: String,
    /// What it backs up.
    pub source: SourceId,
    /// Where to.
    pub pool: PoolId,
    /// What of the source, unless a run says otherwise.
    pub backup_type: BackupType,
    /// Cron expression; run by hand only when not given.
    pub schedule: Option<String>,
    /// Zone of the schedule, as `Europe/Berlin`; the machine's when not given.
    pub time_zone: Option<String>,
    /// Whether its schedule counts.
    pub enabled: bool,
    /// `none` or `zstd`.
    pub compression: String,
    /// Key that its sets are encrypted for.
    pub encryption_key: Option<KeyId>,
    /// How often a failed run is tried again.
    pub retries: u32,
    /// When it last began.
    pub last_run: Option<i64>,
    /// When it was added.
    pub created: i64,
    /// When it was changed.
    pub updated: i64,
}

const SELECT: &str =
    "SELECT id, name, source_id, pool_id, backup_type, schedule, time_zone, enabled, compression, encryption_key_id, retries,
       last_run, created, updated FROM job";

fn read(row: &Row<'_>) -> rusqlite::Result<Job> {
    Ok(Job {
        id: row.get(0)?,
        name: row.get(1)?,
        source: row.get(2)?,
        pool: row.get(3)?,
        backup_type: row.get(4)?,
        schedule: row.get(5)?,
        time_zone: row.get(6)?,
        enabled: row.get(7)?,
        compression: row.get(8)?,
        encryption_key: row.get(9)?,
        retries: row.get(10)?,
        last_run: row.get(11)?,
        created: row.get(12)?,
        updated: row.get(13)?,
    })
}

/// What a job points at is there.
fn check_references(
    connection: &rusqlite::Connection,
    source: SourceId,
    pool: PoolId,
    key: Option<KeyId>,
) -> Result<()> {
    let references = [
        ("source", "SELECT 1 FROM source WHERE id = ?1", Some(source.0)),
        ("pool", "SELECT 1 FROM pool WHERE id = ?1", Some(pool.0)),
        (
            "encryption key",
            "SELECT 1 FROM encryption_key WHERE id = ?1 AND retired IS NULL",
            key.map(|key| key.0),
        ),
    ];
    for (what, sql, id) in references {
        let Some(id) = id else { continue };
        if connection.query_row(sql, [id], |_| Ok(())).optional()?.is_none() {
            return Err(CatalogError::NotFound { what, name: id.to_string() });
        }
    }
    Ok(())
}

impl Catalog {
    /// Adds a job.
    ///
    /// # Errors
    /// [`CatalogError::Exists`]; [`CatalogError::NotFound`] for its source, pool or key.
    pub fn add_job(&self, new: &NewJob) -> Result<JobId> {
        self.durably(|c| {
            check_references(c, new.source, new.pool, new.encryption_key)?;
            c.execute(
                "INSERT INTO job (name, source_id, pool_id, backup_type, schedule, time_zone, enabled, compression,
                   encryption_key_id, retries, created, updated)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)",
                params![
                    new.name,
                    new.source,
                    new.pool,
                    new.backup_type,
                    new.schedule,
                    new.time_zone,
                    new.enabled,
                    new.compression,
                    new.encryption_key,
                    new.retries,
                    new.created
                ],
            )
            .map_err(unique("job", &new.name))?;
            Ok(JobId(c.last_insert_rowid()))
        })
    }

    /// The job with this id.
    pub fn job(&self, id: JobId) -> Result<Job> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
        let found = statement.query_row([id], read).optional()?;
        found.ok_or_else(|| CatalogError::NotFound { what: "job", name: id.to_string() })
    }

    /// The job with this name.
    pub fn job_by_name(&self, name: &str) -> Result<Option<Job>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} WHERE name = ?1"))?;
        Ok(statement.query_row([name], read).optional()?)
    }

    /// All jobs, in the order they were added.
    pub fn jobs(&self) -> Result<Vec<Job>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} ORDER BY id"))?;
        Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Writes everything but id, creation and last run; a new name is that of its sets too, in the same transaction.
    ///
    /// # Errors
    /// [`CatalogError::Exists`]; [`CatalogError::NotFound`] for the job, its source, pool or key.
    pub fn update_job(&self, job: &Job) -> Result<()> {
        self.durably(|c| {
            check_references(c, job.source, job.pool, job.encryption_key)?;
            c.execute(
                "UPDATE backup_set SET job = ?2 WHERE job = (SELECT name FROM job WHERE id = ?1 AND name <> ?2)",
                params![job.id, job.name],
            )?;
            let changed = c
                .execute(
                    "UPDATE job SET name = ?2, source_id = ?3, pool_id = ?4, backup_type = ?5, schedule = ?6,
                       time_zone = ?7, enabled = ?8, compression = ?9, encryption_key_id = ?10, retries = ?11,
                       updated = ?12 WHERE id = ?1",
                    params![
                        job.id,
                        job.name,
                        job.source,
                        job.pool,
                        job.backup_type,
                        job.schedule,
                        job.time_zone,
                        job.enabled,
                        job.compression,
                        job.encryption_key,
                        job.retries,
                        job.updated
                    ],
                )
                .map_err(unique("job", &job.name))?;
            changed_one(changed, "job", job.id)
        })
    }

    /// Says when a job last began.
    pub fn set_job_last_run(&self, id: JobId, began: i64) -> Result<()> {
        self.durably(|c| {
            changed_one(
                c.execute("UPDATE job SET last_run = ?2 WHERE id = ?1", params![id, began])?,
                "job",
                id,
            )
        })
    }

    /// Forgets a job; its sets stay.
    pub fn remove_job(&self, id: JobId) -> Result<()> {
        self.durably(|c| changed_one(c.execute("DELETE FROM job WHERE id = ?1", [id])?, "job", id))
    }
}
