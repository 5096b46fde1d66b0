//! Libraries: medium changers that the daemon knows.

use rusqlite::{OptionalExtension, Row, params};

use super::error::{changed_one, unique};
use super::{Catalog, CatalogError, LibraryId, Result};

/// A library to add. Its time is nanoseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewLibrary {
    /// Its owner's name for it.
    pub name: String,
    /// How its changer is opened: `/dev/sg3`, `/dev/sch0`, `iscsi://...`, `virtual://DIR#changer`.
    pub device: String,
    /// Vendor.
    pub vendor: String,
    /// Product.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Storage slots.
    pub slots: u32,
    /// Drives.
    pub drives: u32,
    /// Import/export slots.
    pub import_export: u32,
    /// Whether it reads barcodes.
    pub barcode_reader: bool,
    /// Whether tasks may use it.
    pub enabled: bool,
    /// Its cartridges are files and no tape.
    pub is_virtual: bool,
    /// When it is added.
    pub created: i64,
}

/// A library. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryRow {
    /// Id in this catalog.
    pub id: LibraryId,
    /// Its owner's name for it.
    pub name: String,
    /// How its changer is opened.
    pub device: String,
    /// Vendor.
    pub vendor: String,
    /// Product.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Storage slots.
    pub slots: u32,
    /// Drives.
    pub drives: u32,
    /// Import/export slots.
    pub import_export: u32,
    /// Whether it reads barcodes.
    pub barcode_reader: bool,
    /// Whether tasks may use it.
    pub enabled: bool,
    /// Its cartridges are files and no tape.
    pub is_virtual: bool,
    /// When its slots were last read.
    pub last_inventory: Option<i64>,
    /// When it was added.
    pub created: i64,
    /// When it was changed.
    pub updated: i64,
}

const SELECT: &str =
    "SELECT id, name, device, vendor, model, serial, slots, drives, import_export, barcode_reader, enabled,
   is_virtual, last_inventory, created, updated FROM library";

fn read(row: &Row<'_>) -> rusqlite::Result<LibraryRow> {
    Ok(LibraryRow {
        id: row.get(0)?,
        name: row.get(1)?,
        device: row.get(2)?,
        vendor: row.get(3)?,
        model: row.get(4)?,
        serial: row.get(5)?,
        slots: row.get(6)?,
        drives: row.get(7)?,
        import_export: row.get(8)?,
        barcode_reader: row.get(9)?,
        enabled: row.get(10)?,
        is_virtual: row.get(11)?,
        last_inventory: row.get(12)?,
        created: row.get(13)?,
        updated: row.get(14)?,
    })
}

/// Which of the two unique columns another library has.
fn taken(connection: &rusqlite::Connection, id: LibraryId, name: &str, device: &str) -> Result<()> {
    let sql = "SELECT name = ?2 FROM library WHERE id <> ?1 AND (name = ?2 OR device = ?3)";
    match connection.query_row(sql, params![id, name, device], |row| row.get(0)).optional()? {
        Some(true) => Err(CatalogError::Exists { what: "library", name: name.to_owned() }),
        Some(false) => Err(CatalogError::Exists { what: "library at", name: device.to_owned() }),
        None => Ok(()),
    }
}

impl Catalog {
    /// Adds a library.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] where another has the same name or device.
    pub fn add_library(&self, new: &NewLibrary) -> Result<LibraryId> {
        self.durably(|c| {
            taken(c, LibraryId(0), &new.name, &new.device)?;
            c.execute(
                "INSERT INTO library (name, device, vendor, model, serial, slots, drives, import_export, barcode_reader, enabled,
                   is_virtual, created, updated)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12)",
                params![
                    new.name, new.device, new.vendor, new.model, new.serial, new.slots, new.drives, new.import_export,
                    new.barcode_reader, new.enabled, new.is_virtual, new.created
                ],
            )
            .map_err(unique("library", &new.name))?;
            Ok(LibraryId(c.last_insert_rowid()))
        })
    }

    /// The library with this id.
    pub fn library(&self, id: LibraryId) -> Result<LibraryRow> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
        let found = statement.query_row([id], read).optional()?;
        found.ok_or_else(|| CatalogError::NotFound { what: "library", name: id.to_string() })
    }

    /// All libraries, in the order they were added.
    pub fn libraries(&self) -> Result<Vec<LibraryRow>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} ORDER BY id"))?;
        Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Writes everything but id and creation.
    ///
    /// # Errors
    /// [`CatalogError::Exists`], [`CatalogError::NotFound`].
    pub fn update_library(&self, library: &LibraryRow) -> Result<()> {
        let l = library;
        self.durably(|c| {
            taken(c, l.id, &l.name, &l.device)?;
            let changed = c
                .execute(
                    "UPDATE library SET name = ?2, device = ?3, vendor = ?4, model = ?5, serial = ?6, slots = ?7, drives = ?8,
                       import_export = ?9, barcode_reader = ?10, enabled = ?11, is_virtual = ?12, last_inventory = ?13,
                       updated = ?14 WHERE id = ?1",
                    params![
                        l.id, l.name, l.device, l.vendor, l.model, l.serial, l.slots, l.drives, l.import_export,
                        l.barcode_reader, l.enabled, l.is_virtual, l.last_inventory, l.updated
                    ],
                )
                .map_err(unique("library", &l.name))?;
            changed_one(changed, "library", l.id)
        })
    }

    /// Forgets a library and its slots; its drives stay, without a library.
    pub fn remove_library(&self, id: LibraryId) -> Result<()> {
        self.durably(|c| {
            c.execute("DELETE FROM slot WHERE library_id = ?1", [id])?;
            c.execute("UPDATE drive SET library_id = NULL, element = NULL WHERE library_id = ?1", [id])?;
            changed_one(c.execute("DELETE FROM library WHERE id = ?1", [id])?, "library", id)
        })
    }
}
