//! Whether the catalog agrees with itself.

use rusqlite::Connection;

use super::members::{StoredBlock, block_of};
use super::{BackupSet, Catalog, Part, Result};
use crate::format::v1::Kind;

/// Findings named at most.
const MAX_PROBLEMS: usize = 100;

/// What [`Catalog::check`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// What is damaged, in words; empty when all is well. At most 100.
    pub problems: Vec<String>,
    /// What is not there, in words, and how to get it: parts of sets whose volumes no rebuild has read. At most 100.
    pub missing: Vec<String>,
    /// Sets looked at.
    pub sets: u64,
    /// Members looked at.
    pub members: u64,
    /// Blocks whose checksums were verified.
    pub blocks: u64,
}

impl CheckReport {
    /// Whether nothing is wrong and nothing missing.
    pub fn is_sound(&self) -> bool {
        !self.is_damaged() && self.missing.is_empty()
    }

    /// Whether only a new catalog helps.
    pub fn is_damaged(&self) -> bool {
        !self.problems.is_empty()
    }

    fn problem(&mut self, text: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(text);
        }
    }
}

/// What one part adds up to.
#[derive(Default)]
struct Sums {
    bytes: u64,
    directories: u64,
}

impl Catalog {
    /// SQLite's own check, then: checksums of all blocks, ordinals without gaps, counts that add up, parents before children, parts that
    /// are missing.
    pub fn check(&self) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        let connection = self.pool.get()?;
        let connection = connection.unchecked_transaction()?;
        let mut statement = connection.prepare("PRAGMA integrity_check")?;
        for line in statement.query_map([], |r| r.get::<_, String>(0))? {
            match line? {
                line if line == "ok" => {}
                line => report.problem(format!("SQLite: {line}")),
            }
        }
        count_of(
            &connection,
            &mut report,
            "directories before their parents",
            "SELECT count(*) FROM directory WHERE parent >= id",
        )?;
        count_of(
            &connection,
            &mut report,
            "directories without their parents",
            "SELECT count(*) FROM directory d WHERE parent <> 0 AND NOT EXISTS (SELECT 1 FROM directory p WHERE p.id = d.parent)",
        )?;
        count_of(
            &connection,
            &mut report,
            "directories of sets that no set or no directory has",
            "SELECT count(*) FROM set_directory WHERE set_id NOT IN (SELECT id FROM backup_set)
               OR (directory_id <> 0 AND directory_id NOT IN (SELECT id FROM directory)) OR direct > subtree",
        )?;
        for set in self.sets()? {
            report.sets += 1;
            for number in self.missing_parts(set.id)? {
                if report.missing.len() < MAX_PROBLEMS {
                    report.missing.push(format!(
                        "set {} lacks part {number} ({}): put the volume that holds it into the library and run \
                         `reelward catalog rebuild`; what the other parts hold can be restored",
                        set.id, set.uuid
                    ));
                }
            }
            for part in self.parts_of(set.id)? {
                check_part(&connection, &set, &part, &mut report)?;
            }
        }
        Ok(report)
    }
}

fn count_of(connection: &Connection, report: &mut CheckReport, what: &str, sql: &str) -> Result<()> {
    let count: i64 = connection.query_row(sql, [], |r| r.get(0))?;
    if count > 0 {
        report.problem(format!("{count} {what}"));
    }
    Ok(())
}

fn check_part(connection: &Connection, set: &BackupSet, part: &Part, report: &mut CheckReport) -> Result<()> {
    let name = format!("set {} part {}", set.uuid, part.number);
    let ordinals = part.ordinals();
    if ordinals.end > set.committed {
        report.problem(format!("{name}: more members than committed"));
    }
    let mut sums = Sums::default();
    let mut at = ordinals.start;
    while at < ordinals.end {
        let Some(block) = block_of(connection, part.set, at)? else {
            report.problem(format!("{name}: no block for member {at}"));
            return Ok(());
        };
        let end = block.first_ordinal + u64::from(block.count);
        if block.first_ordinal != at || end > ordinals.end {
            report.problem(format!("{name}: the block at member {at} is out of place"));
        }
        check_block(&block, &name, &mut sums, report);
        report.blocks += 1;
        report.members += u64::from(block.count);
        at = end;
    }
    if (sums.bytes, sums.directories) != (part.bytes, part.directories) {
        report.problem(format!(
            "{name}: {} bytes in {} directories, counted {} in {}",
            part.bytes, part.directories, sums.bytes, sums.directories
        ));
    }
    Ok(())
}

fn check_block(block: &StoredBlock, name: &str, sums: &mut Sums, report: &mut CheckReport) {
    let reader = match block.reader() {
        Ok(reader) => reader,
        Err(error) => {
            return report.problem(format!("{name}: block at member {}: {error}", block.first_ordinal));
        }
    };
    if reader.first_ordinal() != block.first_ordinal || reader.count() != block.count {
        report.problem(format!("{name}: the block at member {} is another one", block.first_ordinal));
    }
    sums.bytes += reader.sizes().sum::<u64>();
    let kinds = (0..block.count as usize).filter_map(|i| reader.kind(i));
    sums.directories += kinds.filter(|row| row.kind == Kind::Directory).count() as u64;
}
