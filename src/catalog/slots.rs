//! Slots: what the last inventory of a library found. Volume and drive are looked up as the catalog has them now.

use rusqlite::{Row, params};

use super::error::changed_one;
use super::text_enum::text_enum;
use super::{Catalog, DriveId, LibraryId, Result, SlotId, VolumeId};

text_enum! {
    /// What an element of a library is.
    SlotKind {
        /// A slot.
        Storage = "storage",
        /// A slot whose door leads outside.
        ImportExport = "import_export",
        /// A drive.
        Drive = "drive",
    }
}

/// What an inventory found in one element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSlot {
    /// Storage from 1, import/export going on behind it, drives from 0.
    pub number: u32,
    /// Element address.
    pub element: u16,
    /// What it is.
    pub kind: SlotKind,
    /// Barcode of its cartridge.
    pub barcode: Option<String>,
    /// It holds a cartridge.
    pub full: bool,
}

/// One element of a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Id in this catalog; the same from one inventory to the next.
    pub id: SlotId,
    /// Its library.
    pub library: LibraryId,
    /// Storage from 1, import/export going on behind it, drives from 0.
    pub number: u32,
    /// Element address.
    pub element: u16,
    /// What it is.
    pub kind: SlotKind,
    /// Barcode of its cartridge.
    pub barcode: Option<String>,
    /// The volume with this barcode.
    pub volume: Option<VolumeId>,
    /// The drive there, where the catalog knows it.
    pub drive: Option<DriveId>,
    /// It holds a cartridge.
    pub full: bool,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Slot> {
    Ok(Slot {
        id: row.get(0)?,
        library: row.get(1)?,
        number: row.get(2)?,
        element: row.get(3)?,
        kind: row.get(4)?,
        barcode: row.get(5)?,
        volume: row.get(6)?,
        drive: row.get(7)?,
        full: row.get(8)?,
    })
}

impl Catalog {
    /// The slots of a library: storage, import/export, drives, each by number.
    pub fn slots_of(&self, library: LibraryId) -> Result<Vec<Slot>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(
            "SELECT s.id, s.library_id, s.number, s.element, s.kind, s.barcode, v.id, d.id, s.full FROM slot s
               LEFT JOIN volume v ON v.barcode = s.barcode
               LEFT JOIN drive d ON s.kind = 'drive' AND d.library_id = s.library_id AND d.element = s.element
             WHERE s.library_id = ?1
             ORDER BY CASE s.kind WHEN 'storage' THEN 0 WHEN 'import_export' THEN 1 ELSE 2 END, s.number, s.element",
        )?;
        Ok(statement.query_map([library], read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Puts what an inventory found in the place of what was known, in one transaction. `now` is nanoseconds since the epoch.
    pub fn replace_slots(&self, library: LibraryId, slots: &[NewSlot], now: i64) -> Result<()> {
        let count = |kind| slots.iter().filter(|slot| slot.kind == kind).count() as i64;
        self.durably(|c| {
            let changed = c.execute(
                "UPDATE library SET last_inventory = ?2, slots = ?3, drives = ?4, import_export = ?5 WHERE id = ?1",
                params![
                    library,
                    now,
                    count(SlotKind::Storage),
                    count(SlotKind::Drive),
                    count(SlotKind::ImportExport)
                ],
            )?;
            changed_one(changed, "library", library)?;
            let elements: Vec<u16> = slots.iter().map(|slot| slot.element).collect();
            c.execute(
                "DELETE FROM slot WHERE library_id = ?1 AND element NOT IN (SELECT value FROM json_each(?2))",
                params![library, serde_json::to_string(&elements)?],
            )?;
            for slot in slots {
                c.execute(
                    "INSERT INTO slot (library_id, number, element, kind, barcode, full) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                     ON CONFLICT (library_id, element) DO UPDATE SET number = ?2, kind = ?4, barcode = ?5, full = ?6",
                    params![library, slot.number, slot.element, slot.kind, slot.barcode, slot.full],
                )?;
            }
            Ok(())
        })
    }
}
