//! TapeAlert (SSC-4 clause 4.2.20 and annex A): 64 flags by which a drive speaks of its own and the cartridge's health.

/// How much a flag matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For the record.
    Information,
    /// Data may be at risk; act soon.
    Warning,
    /// Data is at risk or the operation failed; act now.
    Critical,
}

/// One flag, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TapeAlert(u8);

/// 20: the drive needs cleaning before it goes on.
pub const CLEAN_NOW: TapeAlert = TapeAlert(20);
/// 21: the drive asks for routine cleaning.
pub const CLEAN_SOON: TapeAlert = TapeAlert(21);
/// 22: the cleaning cartridge is used up.
pub const CLEANING_EXPIRED: TapeAlert = TapeAlert(22);
/// 23: the cleaning cartridge is of a kind that the drive does not take.
pub const CLEANING_INVALID: TapeAlert = TapeAlert(23);

/// What a flag speaks of: who has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The cartridge in the drive.
    Cartridge,
    /// Cleaning the drive.
    Cleaning,
    /// The drive.
    Drive,
    /// The library around it.
    Library,
    /// How the drive is used: settings, commands.
    Use,
}

impl TapeAlert {
    /// The flag of that number.
    pub fn new(number: u8) -> Option<TapeAlert> {
        (1..=64).contains(&number).then_some(TapeAlert(number))
    }

    /// The flags that are set in `flags`, where flag 1 is bit 0.
    pub fn from_flags(flags: u64) -> Vec<TapeAlert> {
        (0..64u8).filter(|bit| flags >> bit & 1 == 1).map(|bit| TapeAlert(bit + 1)).collect()
    }

    /// Its number, 1 to 64.
    pub fn number(self) -> u8 {
        self.0
    }

    fn row(self) -> (Severity, &'static str, &'static str) {
        let reserved = (Severity::Information, "Reserved", "no meaning in the standard");
        TABLE.get(usize::from(self.0).wrapping_sub(1)).copied().unwrap_or(reserved)
    }

    /// How much it matters.
    pub fn severity(self) -> Severity {
        self.row().0
    }

    /// What it speaks of.
    pub fn subject(self) -> Subject {
        match self.0 {
            20..=23 | 11 => Subject::Cleaning,
            1..=8 | 13..=15 | 18 | 19 | 24 | 51..=54 | 59 => Subject::Cartridge,
            9 | 10 | 12 | 16 | 17 | 60 | 61 => Subject::Use,
            40..=49 => Subject::Library,
            _ => Subject::Drive,
        }
    }

    /// Short name.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// What it means, in a sentence without a capital or full stop.
    pub fn meaning(self) -> &'static str {
        self.row().2
    }
}

impl std::fmt::Display for TapeAlert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TapeAlert {} {}: {}", self.0, self.name(), self.meaning())
    }
}

/// Flags 1 to 64 in order.
#[rustfmt::skip]
const TABLE: [(Severity, &str, &str); 64] = [
    (Severity::Warning, "Read warning", "the drive has trouble reading; no data is lost yet"),
    (Severity::Warning, "Write warning", "the drive has trouble writing; no data is lost yet"),
    (Severity::Warning, "Hard error", "a read or write failed for good"),
    (Severity::Critical, "Medium", "the cartridge can no longer be read or written reliably: copy what is on it and retire it"),
    (Severity::Critical, "Read failure", "the tape is damaged or the drive is faulty"),
    (Severity::Critical, "Write failure", "the tape comes from a bad batch or the drive is faulty"),
    (Severity::Warning, "Medium life", "the cartridge has reached the end of its life: copy and retire it"),
    (Severity::Warning, "Not data grade", "the cartridge is not of data grade: replace it"),
    (Severity::Critical, "Write protect", "a write to a write-protected cartridge was tried"),
    (Severity::Information, "No removal", "the cartridge cannot be ejected because the drive is in use"),
    (Severity::Information, "Cleaning cartridge", "a cleaning cartridge is in the drive"),
    (Severity::Information, "Unsupported format", "the cartridge's format is not known to the drive"),
    (Severity::Critical, "Cartridge mechanics, recoverable", "the tape snapped or came loose; the cartridge could be ejected"),
    (Severity::Critical, "Cartridge mechanics, unrecoverable", "the tape snapped or came loose; the cartridge is stuck"),
    (Severity::Warning, "Cartridge memory", "the memory chip of the cartridge failed"),
    (Severity::Critical, "Forced eject", "the cartridge was ejected while in use"),
    (Severity::Warning, "Read-only format", "the drive can only read this format"),
    (Severity::Warning, "Tape directory corrupt", "searching is slow until the tape was read once from end to end"),
    (Severity::Information, "Medium life near its end", "the cartridge will soon need a replacement"),
    (Severity::Critical, "Clean now", "the drive needs cleaning before it goes on"),
    (Severity::Warning, "Clean soon", "the drive asks for routine cleaning"),
    (Severity::Critical, "Cleaning cartridge expired", "the cleaning cartridge is used up"),
    (Severity::Critical, "Cleaning cartridge invalid", "the cleaning cartridge is of a kind that the drive does not take"),
    (Severity::Warning, "Retension requested", "the drive asks for the tape to be retensioned"),
    (Severity::Warning, "Redundant interface", "one of the drive's host ports failed"),
    (Severity::Warning, "Fan", "a fan of the drive failed"),
    (Severity::Warning, "Power supply", "a redundant power supply failed"),
    (Severity::Warning, "Power consumption", "the drive draws more power than it should"),
    (Severity::Warning, "Maintenance", "the drive is due for preventive maintenance"),
    (Severity::Critical, "Hardware A", "the drive has a fault that a reset may clear"),
    (Severity::Critical, "Hardware B", "the drive failed its self test or needs a power cycle"),
    (Severity::Warning, "Primary interface", "the link to the host has trouble"),
    (Severity::Critical, "Eject medium", "the operation failed: eject and insert the cartridge again"),
    (Severity::Warning, "Microcode update", "the microcode update failed"),
    (Severity::Warning, "Humidity", "the drive is too humid or too dry"),
    (Severity::Warning, "Temperature", "the drive is too warm or too cold"),
    (Severity::Warning, "Voltage", "the supply voltage is out of range"),
    (Severity::Critical, "Failure predicted", "the drive expects to fail soon"),
    (Severity::Warning, "Diagnostics required", "the drive asks for a diagnostic run"),
    (Severity::Critical, "Loader hardware A", "the changer has trouble with the drive"),
    (Severity::Critical, "Loader stray cartridge", "a cartridge was left behind in the changer after a fault"),
    (Severity::Warning, "Loader hardware B", "the changer's mechanism has trouble"),
    (Severity::Critical, "Loader door", "the changer's door is open"),
    (Severity::Critical, "Loader hardware C", "the changer's mechanism failed"),
    (Severity::Critical, "Loader magazine", "the changer's magazine is missing"),
    (Severity::Warning, "Loader failure predicted", "the changer expects to fail soon"),
    (Severity::Information, "Reserved", "no meaning in the standard"),
    (Severity::Information, "Reserved", "no meaning in the standard"),
    (Severity::Information, "Reserved", "no meaning in the standard"),
    (Severity::Warning, "Statistics lost", "counters of the drive or cartridge were lost"),
    (Severity::Warning, "Tape directory invalid at unload", "the directory of the cartridge just unloaded is damaged: read it from end to end"),
    (Severity::Critical, "System area write", "the cartridge's own records could not be written: copy what is on it and retire it"),
    (Severity::Critical, "System area read", "the cartridge's own records could not be read: copy what is on it and retire it"),
    (Severity::Critical, "No start of data", "the beginning of data was not found: the cartridge is blank, damaged or of another format"),
    (Severity::Critical, "Load failure", "the cartridge could not be loaded or threaded"),
    (Severity::Critical, "Unload failure", "the cartridge cannot be unloaded"),
    (Severity::Critical, "Automation interface", "the link between drive and library has trouble"),
    (Severity::Warning, "Microcode", "the drive's microcode failed"),
    (Severity::Warning, "WORM integrity", "the write-once cartridge's integrity check failed"),
    (Severity::Warning, "WORM overwrite", "an overwrite of a write-once cartridge was tried"),
    (Severity::Warning, "Encryption policy", "the encryption rules of the drive forbid the operation"),
    (Severity::Information, "Reserved", "no meaning in the standard"),
    (Severity::Information, "Reserved", "no meaning in the standard"),
    (Severity::Information, "Reserved", "no meaning in the standard"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_alerts() {
        let alerts = TapeAlert::from_flags(1 | 1 << 19 | 1 << 63);
        assert_eq!(alerts.iter().map(|alert| alert.number()).collect::<Vec<_>>(), [1, 20, 64]);
        assert_eq!(alerts[1], CLEAN_NOW);
        assert_eq!(alerts[1].severity(), Severity::Critical);
        assert_eq!(CLEAN_SOON.name(), "Clean soon");
        assert_eq!(TapeAlert::new(0), None);
        assert_eq!(TapeAlert::new(65), None);
        assert_eq!(TapeAlert::new(4).unwrap().severity(), Severity::Critical);
        let subject = |number| TapeAlert::new(number).unwrap().subject();
        assert_eq!((subject(4), subject(21)), (Subject::Cartridge, Subject::Cleaning));
        assert_eq!((subject(26), subject(43), subject(9)), (Subject::Drive, Subject::Library, Subject::Use));
        assert!(TapeAlert::new(61).unwrap().to_string().starts_with("TapeAlert 61 Encryption policy"));
    }
}
