//! After a crash: what nobody committed is removed.

use super::{Catalog, Part, Result, SetId, sets::SetState};

/// A set that a crash left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The set, still open: the caller decides how it ends.
    pub set: SetId,
    /// Its identity.
    pub uuid: String,
    /// Members that were pushed and never committed; they are gone.
    pub dropped: u64,
    /// Its parts without an index.
    pub parts: Vec<Part>,
}

impl Catalog {
    /// Removes rows that belong to no committed checkpoint, finishes interrupted deletions, and drops parts whose rebuild was
    /// cut off. To be called when no other task writes.
    pub fn recover(&self) -> Result<Vec<Recovered>> {
        let (deleting, loading): (Vec<SetId>, Vec<(SetId, u32)>) = {
            let reader = self.pool.get()?;
            let deleting = reader
                .prepare("SELECT id FROM backup_set WHERE state = 3")?
                .query_map([], |r| r.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let loading = reader
                .prepare("SELECT set_id, number FROM part WHERE loading <> 0")?
                .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            (deleting, loading)
        };
        for set in deleting {
            self.finish_delete(set)?;
        }
        for (set, part) in loading {
            self.abandon_load(set, part)?;
        }
        let mut recovered = Vec::new();
        for set in self.sets()?.into_iter().filter(|s| s.state == SetState::Open) {
            let dropped = self.drop_uncommitted(set.id)?;
            let parts = self.parts_of(set.id)?.into_iter().filter(|p| p.index_file.is_none()).collect();
            recovered.push(Recovered { set: set.id, uuid: set.uuid, dropped, parts });
        }
        Ok(recovered)
    }

    /// Removes members and pieces of members that no checkpoint committed; the members removed.
    pub(super) fn drop_uncommitted(&self, set: SetId) -> Result<u64> {
        let dropped = self.remove_uncommitted(set)?;
        self.durably(|c| {
            c.execute(
                "DELETE FROM fragment WHERE set_id = ?1 AND ordinal >=
                   (SELECT committed_members FROM backup_set WHERE id = ?1)",
                [set],
            )?;
            Ok(dropped)
        })
    }
}
