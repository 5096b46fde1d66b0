//! REPORT SUPPORTED OPERATION CODES (SPC-4 clause 6.35): what a device can do, and how long it may take.

use std::collections::HashMap;
use std::time::Duration;

use super::bytes::{at_most, bit_at, put, slice_at, u8_at, u16_at, u32_at};
use super::opcode;

/// Allocation length with room for 800 commands.
pub const ALLOCATION: u32 = 16 << 10;

/// All commands, with time-outs (RCTD).
pub fn report(allocation: u32) -> [u8; 12] {
    let mut cdb =
        [opcode::MAINTENANCE_IN, opcode::SA_REPORT_SUPPORTED_OPCODES, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    put(&mut cdb[6..10], allocation.into());
    cdb
}

/// One command that the device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupportedCommand {
    /// Operation code.
    pub opcode: u8,
    /// Service action, where the operation code has them.
    pub service_action: Option<u16>,
    /// Length of the CDB in bytes.
    pub cdb_length: u16,
    /// Time within which it usually ends; `None` where the device does not say.
    pub nominal: Option<Duration>,
    /// Time after which the device is to be given up; `None` where the device does not say.
    pub recommended: Option<Duration>,
}

/// Every whole descriptor of a reply; with or without time-outs.
pub fn parse(bytes: &[u8]) -> Option<Vec<SupportedCommand>> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let mut rest = at_most(bytes, 4, length);
    let mut found = Vec::new();
    while let Some(descriptor) = slice_at(rest, 0, 8) {
        let mut length = 8;
        let mut times = [None, None];
        if bit_at(descriptor, 5, 0x02) {
            let Some(more) = u16_at(rest, 8) else { break };
            length += 2 + usize::from(more);
            for (time, at) in times.iter_mut().zip([12, 16]) {
                let seconds = u32_at(rest, at).filter(|&seconds| seconds != 0 && length >= 20);
                *time = seconds.map(|seconds| Duration::from_secs(seconds.into()));
            }
        }
        found.push(SupportedCommand {
            opcode: u8_at(descriptor, 0)?,
            service_action: u16_at(descriptor, 2).filter(|_| bit_at(descriptor, 5, 0x01)),
            cdb_length: u16_at(descriptor, 6)?,
            nominal: times[0],
            recommended: times[1],
        });
        rest = rest.get(length..).unwrap_or_default();
    }
    Some(found)
}

/// The device's recommended time-outs by operation code.
#[derive(Debug, Clone, Default)]
pub struct Timeouts(HashMap<u8, Duration>);

impl Timeouts {
    /// Of several service actions of one code the longest counts.
    pub fn from_report(commands: &[SupportedCommand]) -> Timeouts {
        let mut recommended: HashMap<u8, Duration> = HashMap::new();
        for command in commands {
            if let Some(time) = command.recommended {
                let known = recommended.entry(command.opcode).or_default();
                *known = time.max(*known);
            }
        }
        Timeouts(recommended)
    }

    /// `None` where the device recommends nothing.
    pub fn get(&self, opcode: u8) -> Option<Duration> {
        self.0.get(&opcode).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn with_and_without_time_outs() {
        assert_eq!(report(0x8000), [0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 0x80, 0, 0, 0]);
        let mut bytes = vec![0, 0, 0, 28];
        bytes.extend([0x01, 0, 0, 0, 0, 0x02, 0, 6, 0, 10, 0, 0, 0, 0, 0, 60, 0, 0, 2, 0x58]);
        bytes.extend([0xa3, 0, 0, 0x0c, 0, 0x01, 0, 12]);
        let found = parse(&bytes).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].opcode, found[0].recommended), (0x01, Some(Duration::from_secs(600))));
        assert_eq!(found[0].nominal, Some(Duration::from_secs(60)));
        assert_eq!((found[1].service_action, found[1].recommended), (Some(0x0c), None));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn no_bytes_panic(rest in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut bytes = vec![0, 0, 0, 100];
            bytes.extend(rest);
            let _ = parse(&bytes);
        }
    }
}
