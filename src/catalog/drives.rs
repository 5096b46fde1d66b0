//! Drives that the daemon knows: found or named.

use rusqlite::{OptionalExtension, Row, params};

use super::error::{changed_one, unique};
use super::{Catalog, CatalogError, DriveId, LibraryId, Result};

/// A drive to add. Its time is nanoseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewDrive {
    /// How it is opened: `/dev/nst0`, `/dev/tape/by-id/...`, `iscsi://...`, `virtual://DIR#drive0`.
    pub device: String,
    /// Its owner's name for it.
    pub display_name: String,
    /// Vendor.
    pub vendor: String,
    /// Product.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Whether tasks may use it.
    pub enabled: bool,
    /// The library that serves it.
    pub library: Option<LibraryId>,
    /// Its element address there.
    pub element: Option<u16>,
    /// Its cartridges are files and no tape.
    pub is_virtual: bool,
    /// When it is added.
    pub created: i64,
}

/// A drive. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveRow {
    /// Id in this catalog.
    pub id: DriveId,
    /// How it is opened.
    pub device: String,
    /// Its owner's name for it.
    pub display_name: String,
    /// Vendor.
    pub vendor: String,
    /// Product.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Whether tasks may use it.
    pub enabled: bool,
    /// The one for tasks that name none; at most one drive is.
    pub selected: bool,
    /// The library that serves it.
    pub library: Option<LibraryId>,
    /// Its element address there.
    pub element: Option<u16>,
    /// Its cartridges are files and no tape.
    pub is_virtual: bool,
    /// When it was added.
    pub created: i64,
    /// When it was changed.
    pub updated: i64,
}

const SELECT: &str =
    "SELECT id, device, display_name, vendor, model, serial, enabled, selected, library_id, element,
   is_virtual, created, updated FROM drive";

fn read(row: &Row<'_>) -> rusqlite::Result<DriveRow> {
    Ok(DriveRow {
        id: row.get(0)?,
        device: row.get(1)?,
        display_name: row.get(2)?,
        vendor: row.get(3)?,
        model: row.get(4)?,
        serial: row.get(5)?,
        enabled: row.get(6)?,
        selected: row.get(7)?,
        library: row.get(8)?,
        element: row.get(9)?,
        is_virtual: row.get(10)?,
        created: row.get(11)?,
        updated: row.get(12)?,
    })
}

impl Catalog {
    /// Adds a drive.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] where another has the same device.
    pub fn add_drive(&self, new: &NewDrive) -> Result<DriveId> {
        self.durably(|c| {
            c.execute(
                "INSERT INTO drive (device, display_name, vendor, model, serial, enabled, selected, library_id, element,
                   is_virtual, created, updated)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, ?9, ?10, ?10)",
                params![
                    new.device, new.display_name, new.vendor, new.model, new.serial, new.enabled, new.library, new.element,
                    new.is_virtual, new.created
                ],
            )
            .map_err(unique("drive", &new.device))?;
            Ok(DriveId(c.last_insert_rowid()))
        })
    }

    /// The drive with this id.
    pub fn drive(&self, id: DriveId) -> Result<DriveRow> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
        let found = statement.query_row([id], read).optional()?;
        found.ok_or_else(|| CatalogError::NotFound { what: "drive", name: id.to_string() })
    }

    /// All drives, in the order they were added.
    pub fn drives(&self) -> Result<Vec<DriveRow>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} ORDER BY id"))?;
        Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Writes everything but id, selection and creation.
    ///
    /// # Errors
    /// [`CatalogError::Exists`], [`CatalogError::NotFound`].
    pub fn update_drive(&self, drive: &DriveRow) -> Result<()> {
        let d = drive;
        self.durably(|c| {
            let changed = c
                .execute(
                    "UPDATE drive SET device = ?2, display_name = ?3, vendor = ?4, model = ?5, serial = ?6, enabled = ?7,
                       library_id = ?8, element = ?9, is_virtual = ?10, updated = ?11 WHERE id = ?1",
                    params![
                        d.id, d.device, d.display_name, d.vendor, d.model, d.serial, d.enabled, d.library, d.element,
                        d.is_virtual, d.updated
                    ],
                )
                .map_err(unique("drive", &d.device))?;
            changed_one(changed, "drive", d.id)
        })
    }

    /// Makes this the drive for tasks that name none.
    pub fn select_drive(&self, id: DriveId) -> Result<()> {
        self.durably(|c| {
            changed_one(c.execute("UPDATE drive SET selected = 1 WHERE id = ?1", [id])?, "drive", id)?;
            c.execute("UPDATE drive SET selected = 0 WHERE id <> ?1", [id])?;
            Ok(())
        })
    }

    /// Forgets a drive.
    pub fn remove_drive(&self, id: DriveId) -> Result<()> {
        self.durably(|c| changed_one(c.execute("DELETE FROM drive WHERE id = ?1", [id])?, "drive", id))
    }
}
