//! What the units have done: in memory, and as `statistics.json` when the library is closed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::url::Unit;
use super::{Shared, locked};

/// What one unit has done since the library was opened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitStatistics {
    /// Commands by operation code, two upper-case hexadecimal digits: READ is `08`, WRITE `0A`.
    pub commands: BTreeMap<String, u64>,
    /// Times the tape stopped because the host did not keep up (with a speed model).
    pub stop_and_go: u64,
    /// Metres of tape that passed the head.
    pub odometer_metres: f64,
    /// Bytes of records written.
    pub bytes_written: u64,
    /// Bytes of records read.
    pub bytes_read: u64,
}

impl UnitStatistics {
    /// Commands with this operation code.
    pub fn count(&self, opcode: u8) -> u64 {
        self.commands.get(&format!("{opcode:02X}")).copied().unwrap_or(0)
    }
}

/// What all units have done, by name (`drive0`, `changer`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// By unit.
    pub units: BTreeMap<String, UnitStatistics>,
}

impl Statistics {
    /// Commands of one unit with this operation code.
    pub fn count(&self, unit: Unit, opcode: u8) -> u64 {
        self.units.get(&unit.to_string()).map_or(0, |unit| unit.count(opcode))
    }
}

fn by_code(commands: &[u64; 256]) -> BTreeMap<String, u64> {
    let used = commands.iter().enumerate().filter(|(_, count)| **count > 0);
    used.map(|(code, count)| (format!("{code:02X}"), *count)).collect()
}

impl Shared {
    pub(super) fn statistics(&self) -> Statistics {
        let mut units = BTreeMap::new();
        let changer = UnitStatistics {
            commands: by_code(&locked(&self.changer).commands),
            ..UnitStatistics::default()
        };
        units.insert(Unit::Changer.to_string(), changer);
        for (index, drive) in self.drives.iter().enumerate() {
            let drive = locked(drive);
            let statistics = UnitStatistics {
                commands: by_code(&drive.commands),
                stop_and_go: drive.motion.stops,
                odometer_metres: drive.motion.odometer,
                bytes_written: drive.counters.bytes_written,
                bytes_read: drive.counters.bytes_read,
            };
            units.insert(Unit::Drive(index as u16).to_string(), statistics);
        }
        Statistics { units }
    }
}
