//! JSON files that are replaced whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::VirtualError;

/// Reads a JSON file.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, VirtualError> {
    let text = fs::read(path).map_err(VirtualError::io("read", path))?;
    serde_json::from_slice(&text).map_err(|source| VirtualError::Damaged { path: path.to_path_buf(), source })
}

/// Replaces a JSON file: written beside it, flushed, renamed, its directory flushed. Without `sync` nothing is flushed,
/// and only the rename stands.
pub(super) fn replace<T: Serialize>(path: &Path, value: &T, sync: bool) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    let beside = path.with_extension("json.new");
    let mut file = File::create(&beside)?;
    file.write_all(&text)?;
    if sync {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(&beside, path)?;
    if sync && let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}
