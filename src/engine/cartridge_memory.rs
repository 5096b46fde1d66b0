//! What we write into a cartridge's memory for others to read, and whether what stands there fits. A tape is as good as ever
//! without: nothing here fails a task.

use crate::catalog::Volume;
use crate::drive::{Drive, DriveError};
use crate::scsi::attribute::{self, Format};
use crate::scsi::cartridge_memory::{CartridgeMemory, Coherency};

/// Who we are: attributes 0800h and 0801h.
const VENDOR: &str = "REELWARD";
const APPLICATION: &str = "Reelward";
/// Version of what is on the tape: attribute 080Bh.
const FORMAT_VERSION: &str = "1";

/// What the memory is to say of a volume.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told<'a> {
    pub uuid: &'a str,
    pub label: &'a str,
    pub barcode: Option<&'a str>,
    pub pool: Option<&'a str>,
    /// Behind the last committed filemark: block and tape file.
    pub end: (u64, u64),
}

impl<'a> From<&'a Volume> for Told<'a> {
    fn from(volume: &'a Volume) -> Told<'a> {
        Told {
            uuid: &volume.uuid,
            label: &volume.label,
            barcode: volume.barcode.as_deref(),
            pool: volume.pool.as_deref(),
            end: (volume.end_block, volume.end_file),
        }
    }
}

/// Writes everything anew; what went wrong, for the report. A drive without cartridge memory is left as it is.
pub(super) fn write(drive: &mut Drive, told: Told<'_>) -> Option<String> {
    let texts = [
        (attribute::APPLICATION_VENDOR, Format::Ascii, VENDOR),
        (attribute::APPLICATION_NAME, Format::Ascii, APPLICATION),
        (attribute::APPLICATION_VERSION, Format::Ascii, env!("CARGO_PKG_VERSION")),
        (attribute::USER_LABEL, Format::Text, told.label),
        (attribute::BARCODE, Format::Ascii, told.barcode.unwrap_or_default()),
        (attribute::MEDIA_POOL, Format::Text, told.pool.unwrap_or_default()),
        (attribute::FORMAT_VERSION, Format::Ascii, FORMAT_VERSION),
    ];
    for (id, format, text) in texts {
        // Nothing known of a barcode is no reason to delete one.
        if id == attribute::BARCODE && text.is_empty() {
            continue;
        }
        match drive.write_attribute(id, format, text.as_bytes()) {
            Err(DriveError::Unsupported { .. }) => return None,
            Err(DriveError::Failed { sense, .. }) if sense.field_unsupported() => {}
            Err(error) => return Some(failed(told.label, &error)),
            Ok(()) => {}
        }
    }
    seal(drive, told)
}

/// Notes that the volume is now as we left it: attribute 080Ch with the change reference, the end of data and the identity.
pub(super) fn seal(drive: &mut Drive, told: Told<'_>) -> Option<String> {
    let reference = match drive.volume_change_reference() {
        Ok(Some(reference)) => reference,
        Ok(None) => return None,
        Err(error) => return Some(failed(told.label, &error)),
    };
    let (end_block, end_file) = told.end;
    let coherency = Coherency {
        change_reference: reference.into(),
        count: end_file,
        set: end_block,
        application: format!("{VENDOR}\0{}", told.uuid).into_bytes(),
    };
    match drive.write_attribute(attribute::COHERENCY, Format::Binary, &coherency.encode()) {
        Err(DriveError::Unsupported { .. }) | Ok(()) => None,
        Err(DriveError::Failed { sense, .. }) if sense.field_unsupported() => None,
        Err(error) => Some(failed(told.label, &error)),
    }
}

fn failed(label: &str, error: &DriveError) -> String {
    format!("volume {label}: its cartridge memory could not be written ({error}); the tape is not affected")
}

/// Whether the memory of the cartridge that holds `volume` says the same. What is ours and out of date is put right; what
/// another program wrote is left, and told.
pub(super) fn compare(drive: &mut Drive, volume: &Volume) -> Option<String> {
    let memory = match drive.cartridge_memory() {
        Ok(memory) => memory?,
        Err(DriveError::MediumError { .. } | DriveError::HardwareError { .. }) => {
            return Some(format!("volume {}: its cartridge memory cannot be read", volume.label));
        }
        // The task meets it itself.
        Err(_) => return None,
    };
    match difference(&memory, volume) {
        Difference::None => None,
        Difference::Ours => write(drive, volume.into()),
        Difference::Foreign(text) => Some(text),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Difference {
    /// It says the same, or nothing.
    None,
    /// We wrote it, before the label or the pool became another.
    Ours,
    /// Somebody else wrote it.
    Foreign(String),
}

fn difference(memory: &CartridgeMemory, volume: &Volume) -> Difference {
    let Some(vendor) = memory.vendor.as_deref() else {
        // Labelled without access to the memory, or by a program that leaves it alone.
        return if memory.label.is_none() && memory.pool.is_none() {
            Difference::Ours
        } else {
            foreign(memory, volume)
        };
    };
    if vendor != VENDOR {
        return foreign(memory, volume);
    }
    // The memory holds 160 bytes of each text.
    let same = |told: &Option<String>, wanted: Option<&str>| {
        let wanted = wanted.unwrap_or_default().as_bytes();
        told.as_deref().unwrap_or_default().as_bytes() == wanted.get(..160).unwrap_or(wanted).trim_ascii_end()
    };
    if same(&memory.label, Some(&volume.label)) && same(&memory.pool, volume.pool.as_deref()) {
        Difference::None
    } else {
        Difference::Ours
    }
}

fn foreign(memory: &CartridgeMemory, volume: &Volume) -> Difference {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
    let application =
        [&memory.vendor, &memory.application].into_iter().flatten().cloned().collect::<Vec<_>>();
    Difference::Foreign(format!(
        "volume {}: its cartridge memory was written by another program ({}; label {}, pool {}). That program may think the \
         cartridge is its own",
        volume.label,
        if application.is_empty() { "without a name".to_owned() } else { application.join(" ") },
        or_none(&memory.label),
        or_none(&memory.pool),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{VolumeId, VolumeStatus};

    fn volume() -> Volume {
        Volume {
            id: VolumeId(1),
            uuid: "u".into(),
            label: "weekly 7".into(),
            barcode: None,
            pool: Some("weekly".into()),
            generation: None,
            record_size: 262_144,
            status: VolumeStatus::Active,
            capacity: 0,
            used: 0,
            end_block: 5,
            end_file: 3,
            change_reference: None,
            created: 1,
            last_written: None,
            notes: String::new(),
            offsite_location: None,
            write_count: 0,
            updated: 1,
            exported_from: None,
        }
    }

    #[test]
    fn who_wrote_it_decides() {
        let some = |text: &str| Some(text.to_owned());
        let ours = CartridgeMemory {
            vendor: some("REELWARD"),
            label: some("weekly 7"),
            pool: some("weekly"),
            ..CartridgeMemory::default()
        };
        assert_eq!(difference(&ours, &volume()), Difference::None);
        let moved = CartridgeMemory { pool: some("daily"), ..ours.clone() };
        assert_eq!(difference(&moved, &volume()), Difference::Ours);
        assert_eq!(difference(&CartridgeMemory::default(), &volume()), Difference::Ours);
        let other = CartridgeMemory { vendor: some("OTHER"), ..ours.clone() };
        assert!(matches!(difference(&other, &volume()), Difference::Foreign(text) if text.contains("OTHER")));
        let nameless = CartridgeMemory { vendor: None, ..ours };
        assert!(matches!(difference(&nameless, &volume()), Difference::Foreign(_)));
        let long = "x".repeat(200);
        let cut = CartridgeMemory {
            vendor: some("REELWARD"),
            label: some(&long[..160]),
            ..CartridgeMemory::default()
        };
        let named = Volume { label: long, pool: None, ..volume() };
        assert_eq!(difference(&cut, &named), Difference::None);
    }
}
