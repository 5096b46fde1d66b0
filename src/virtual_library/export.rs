//! Writing a cartridge's tape files as plain files (tape format, chapter 10).

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use super::cartridge::{Cartridge, Object};
use super::error::VirtualError;

/// One file for each tape file; returns how many.
pub(super) fn export(medium: &mut Cartridge, directory: &Path) -> Result<u32, VirtualError> {
    fs::create_dir_all(directory).map_err(VirtualError::io("create", directory))?;
    let barcode = medium.memory.barcode.clone();
    let mut files = 0u32;
    let mut open: Option<BufWriter<File>> = None;
    let mut record = Vec::new();
    for block in 0..medium.count() {
        let unreadable = |reason| VirtualError::Unreadable { barcode: barcode.clone(), block, reason };
        let entry = medium.entry(block).map_err(VirtualError::io("read a cartridge for", directory))?;
        let Some(entry) = entry else { break };
        let path = directory.join(format!("{files:04}"));
        let mut writer = match open.take() {
            Some(writer) => writer,
            None => BufWriter::new(File::create(&path).map_err(VirtualError::io("create", &path))?),
        };
        match entry.object {
            Object::Filemark => {
                writer.flush().map_err(VirtualError::io("write", &path))?;
                files += 1;
            }
            Object::Record(found) => {
                if found.encrypted {
                    return Err(unreadable("the drive encrypted it"));
                }
                if found.discarded {
                    return Err(unreadable("the library discards bulk data"));
                }
                record.resize(found.stored as usize, 0);
                medium
                    .read(&entry, &mut record)
                    .map_err(VirtualError::io("read a cartridge for", directory))?;
                writer.write_all(&record).map_err(VirtualError::io("write", &path))?;
                open = Some(writer);
            }
        }
    }
    if let Some(mut writer) = open {
        writer.flush().map_err(VirtualError::io("write to", directory))?;
        files += 1;
    }
    Ok(files)
}
