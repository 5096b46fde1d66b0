//! Who a device is, by INQUIRY alone: no unit attention is taken away and nothing moves.

use std::time::Duration;

use super::inquiry::{self, DeviceType, Identity, Inquiry};
use super::{Data, Status, Transport, TransportError, linux_sg::sysfs, luns};

const TIMEOUT: Duration = Duration::from_secs(30);

/// What a logical unit says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// What it is.
    pub device_type: DeviceType,
    /// Vendor, product, revision, serial number.
    pub identity: Identity,
    /// Names of the logical unit that hold on every path, as in `naa.5000e11160000001`.
    pub designators: Vec<String>,
}

/// Asks; `None` where no device is behind the logical unit number, or it says nothing of use.
///
/// # Errors
/// No answer came.
pub fn identify(transport: &mut dyn Transport) -> Result<Option<Identified>, TransportError> {
    let standard = ask(transport, &inquiry::standard(inquiry::ALLOCATION), inquiry::ALLOCATION.into())?;
    let Some(inquiry) = standard.and_then(|bytes| Inquiry::parse(&bytes)).filter(|found| found.connected)
    else {
        return Ok(None);
    };
    let mut page =
        |page| ask(transport, &inquiry::vital(page, inquiry::ALLOCATION), inquiry::ALLOCATION.into());
    let serial = page(inquiry::VPD_SERIAL)?.and_then(|bytes| inquiry::serial(&bytes)).unwrap_or_default();
    let names = page(inquiry::VPD_IDENTIFICATION)?.and_then(|bytes| inquiry::identification(&bytes));
    Ok(Some(Identified {
        device_type: inquiry.device_type,
        identity: Identity::new(inquiry, serial),
        designators: names.iter().flatten().filter_map(sysfs::designator).collect(),
    }))
}

/// The logical unit numbers of the target; only this one's where it does not say.
///
/// # Errors
/// No answer came.
pub fn logical_units(transport: &mut dyn Transport) -> Result<Vec<u16>, TransportError> {
    let reply = ask(transport, &luns::report(luns::ALLOCATION), luns::ALLOCATION as usize)?;
    Ok(reply.and_then(|bytes| luns::parse(&bytes)).unwrap_or_else(|| vec![0]))
}

/// The reply; `None` where the device refuses. INQUIRY and REPORT LUNS report no unit attention of others (SPC-4 clause
/// 6.6.1); one of a session that broke is met once more at most.
fn ask(transport: &mut dyn Transport, cdb: &[u8], length: usize) -> Result<Option<Vec<u8>>, TransportError> {
    let mut buffer = vec![0; length];
    for _ in 0..2 {
        let reply = transport.execute(cdb, Data::In(&mut buffer), TIMEOUT)?;
        if reply.status == Status::Good {
            buffer.truncate(reply.transferred);
            return Ok(Some(buffer));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::super::script::{Answer, Scripted, check};
    use super::*;

    #[test]
    fn a_drive_says_who_it_is() {
        let (mut transport, script) = Scripted::new(1 << 20);
        let mut standard = vec![1, 0x80, 6, 2, 91, 0, 0, 0];
        standard.extend(b"HPE     Ultrium 9-SCSI  S2S1");
        script
            .expect(&[0x12, 0], check(6, 0x29, 0))
            .expect(&[0x12, 0], Answer::Bytes(standard))
            .expect(&[0x12, 1, 0x80], Answer::Bytes([&[1, 0x80, 0, 4][..], b"CZ12"].concat()))
            .expect(&[0x12, 1, 0x83], check(5, 0x24, 0))
            .expect(&[0x12, 1, 0x83], check(5, 0x24, 0));
        let found = identify(transport.as_mut()).unwrap().unwrap();
        script.done();
        assert_eq!(found.device_type, DeviceType::SequentialAccess);
        assert_eq!(
            (found.identity.product.as_str(), found.identity.serial.as_str()),
            ("Ultrium 9-SCSI", "CZ12")
        );
        assert!(found.designators.is_empty());
    }

    #[test]
    fn nothing_behind_a_number_is_none() {
        let (mut transport, script) = Scripted::new(1 << 20);
        script.expect(&[0x12], Answer::Bytes(vec![0x7f; 36]));
        assert_eq!(identify(transport.as_mut()).unwrap(), None);
        script.expect(&[0xa0], check(5, 0x20, 0)).expect(&[0xa0], check(5, 0x20, 0));
        assert_eq!(logical_units(transport.as_mut()).unwrap(), [0]);
        script.expect(&[0x12], Answer::Dead);
        assert!(identify(transport.as_mut()).is_err());
    }
}
