//! `virtual://DIR#drive0` and `virtual://DIR#changer`.

use std::fmt;
use std::path::{Path, PathBuf};

/// A logical unit of a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// The drive of that index, from 0.
    Drive(u16),
    /// The medium changer.
    Changer,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unit::Drive(index) => write!(f, "drive{index}"),
            Unit::Changer => f.write_str("changer"),
        }
    }
}

/// Directory and unit of a `virtual://` name; `None` for anything else. A directory may hold `#`: the last one counts.
pub fn parse_url(url: &str) -> Option<(PathBuf, Unit)> {
    let (directory, unit) = url.strip_prefix("virtual://")?.rsplit_once('#')?;
    if directory.is_empty() {
        return None;
    }
    let unit = match unit.strip_prefix("drive") {
        Some(index) if index.bytes().all(|byte| byte.is_ascii_digit()) => Unit::Drive(index.parse().ok()?),
        Some(_) => return None,
        None if unit == "changer" => Unit::Changer,
        None => return None,
    };
    Some((PathBuf::from(directory), unit))
}

/// The name of a unit: what [`parse_url`] reads.
pub(super) fn unit_url(directory: &Path, unit: Unit) -> String {
    format!("virtual://{}#{unit}", directory.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_units_are_read_and_written() {
        let parsed = parse_url("virtual:///srv/a#b/lib#drive12");
        assert_eq!(parsed, Some((PathBuf::from("/srv/a#b/lib"), Unit::Drive(12))));
        assert_eq!(parse_url("virtual://lib#changer"), Some((PathBuf::from("lib"), Unit::Changer)));
        for unit in [Unit::Drive(0), Unit::Drive(65535), Unit::Changer] {
            let url = unit_url(Path::new("/x y"), unit);
            assert_eq!(parse_url(&url), Some((PathBuf::from("/x y"), unit)));
        }
        for wrong in [
            "",
            "virtual://",
            "virtual://#drive0",
            "virtual://x",
            "virtual://x#drive",
            "virtual://x#drive+1",
            "virtual://x#drive65536",
            "virtual://x#changer0",
            "file://x#drive0",
            "/dev/nst0",
        ] {
            assert_eq!(parse_url(wrong), None, "{wrong}");
        }
    }
}
