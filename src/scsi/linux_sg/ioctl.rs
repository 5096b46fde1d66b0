//! The `SG_IO` ioctl of Linux, version 3 of its header (`include/scsi/sg.h`).
#![allow(unsafe_code)] // the ioctl

use std::ffi::{c_int, c_uchar, c_uint, c_ushort, c_void};
use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

use crate::scsi::Data;

/// `struct sg_io_hdr`.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Header {
    interface: c_int,
    direction: c_int,
    cdb_length: c_uchar,
    sense_length: c_uchar,
    scatter: c_ushort,
    /// Bytes of the data phase.
    pub(super) length: c_uint,
    data: *mut c_void,
    cdb: *const c_uchar,
    sense: *mut c_uchar,
    /// Milliseconds.
    pub(super) timeout: c_uint,
    flags: c_uint,
    pack_id: c_int,
    user: *mut c_void,
    /// SCSI status.
    pub(super) status: c_uchar,
    masked_status: c_uchar,
    message: c_uchar,
    /// Bytes of sense data.
    pub(super) sense_written: c_uchar,
    /// What the adapter's driver says.
    pub(super) host_status: c_ushort,
    /// What the middle layer says.
    pub(super) driver_status: c_ushort,
    /// Bytes that did not move.
    pub(super) residual: c_int,
    duration: c_uint,
    info: c_uint,
}

const INTERFACE: c_int = b'S' as c_int;
const TO_DEVICE: c_int = -2;
const FROM_DEVICE: c_int = -3;
const NO_DATA: c_int = -1;

nix::ioctl_readwrite_bad!(sg_io, 0x2285, Header);
nix::ioctl_write_ptr_bad!(sg_set_reserved_size, 0x2275, c_int);
nix::ioctl_read_bad!(sg_get_reserved_size, 0x2272, c_int);

/// The header of one command. The pointers are those of the arguments, which must outlive its execution.
fn header(cdb: &[u8], data: &mut Data<'_>, sense: &mut [u8], milliseconds: u32) -> Header {
    let length = c_uint::try_from(data.len()).unwrap_or(c_uint::MAX);
    let (direction, pointer) = match data {
        Data::In(buffer) if !buffer.is_empty() => (FROM_DEVICE, buffer.as_mut_ptr().cast()),
        Data::Out(buffer) if !buffer.is_empty() => (TO_DEVICE, buffer.as_ptr().cast_mut().cast()),
        _ => (NO_DATA, std::ptr::null_mut()),
    };
    Header {
        interface: INTERFACE,
        direction,
        cdb_length: c_uchar::try_from(cdb.len()).unwrap_or(c_uchar::MAX),
        sense_length: c_uchar::try_from(sense.len()).unwrap_or(c_uchar::MAX),
        scatter: 0,
        length,
        data: pointer,
        cdb: cdb.as_ptr(),
        sense: sense.as_mut_ptr(),
        timeout: milliseconds,
        flags: 0, // through the kernel's own buffers: ours need no alignment
        pack_id: 0,
        user: std::ptr::null_mut(),
        status: 0,
        masked_status: 0,
        message: 0,
        sense_written: 0,
        host_status: 0,
        driver_status: 0,
        residual: 0,
        duration: 0,
        info: 0,
    }
}

/// Executes one CDB; the header as the kernel filled it in.
pub(super) fn execute(
    device: &File,
    cdb: &[u8],
    mut data: Data<'_>,
    sense: &mut [u8],
    milliseconds: u32,
) -> Result<Header, Errno> {
    if cdb.len() > usize::from(c_uchar::MAX) || sense.len() > usize::from(c_uchar::MAX) {
        return Err(Errno::EINVAL);
    }
    let mut header = header(cdb, &mut data, sense, milliseconds);
    // SAFETY: the header points to a CDB, sense and data of the lengths it names, all borrowed for longer than the call;
    // the kernel writes to data only in the direction from the device, where the borrow is mutable.
    unsafe { sg_io(device.as_raw_fd(), &raw mut header) }?;
    Ok(header)
}

/// Has the kernel keep a buffer of at most `bytes` for this descriptor; what it could have. The kernel cuts the size to
/// what the adapter takes, and halves it while memory is short.
pub(super) fn reserve(device: &File, bytes: usize) -> Result<usize, Errno> {
    let wanted = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    let mut got: c_int = 0;
    // SAFETY: both ioctls take a pointer to an int that lives during the call.
    unsafe {
        sg_set_reserved_size(device.as_raw_fd(), &raw const wanted)?;
        sg_get_reserved_size(device.as_raw_fd(), &raw mut got)?;
    }
    Ok(usize::try_from(got).unwrap_or(0))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header as the kernel could have filled it in.
    pub(in super::super) fn answered(
        status: u8,
        host: u16,
        driver: u16,
        length: u32,
        residual: i32,
    ) -> Header {
        let mut header = header(&[0; 6], &mut Data::None, &mut [], 0);
        header.status = status;
        header.host_status = host;
        header.driver_status = driver;
        header.length = length;
        header.residual = residual;
        header
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_header_lies_as_the_kernels() {
        use std::mem::offset_of;
        assert_eq!(size_of::<Header>(), 88);
        let at = [
            (offset_of!(Header, cdb_length), 8),
            (offset_of!(Header, length), 12),
            (offset_of!(Header, data), 16),
            (offset_of!(Header, cdb), 24),
            (offset_of!(Header, sense), 32),
            (offset_of!(Header, timeout), 40),
            (offset_of!(Header, user), 56),
            (offset_of!(Header, status), 64),
            (offset_of!(Header, sense_written), 67),
            (offset_of!(Header, host_status), 68),
            (offset_of!(Header, driver_status), 70),
            (offset_of!(Header, residual), 72),
            (offset_of!(Header, info), 80),
        ];
        assert!(at.iter().all(|(is, must)| is == must), "{at:?}");
    }

    #[test]
    fn headers_name_direction_and_lengths() {
        let mut sense = [0; 96];
        let mut buffer = [0; 512];
        let read = header(&[8, 0, 0, 2, 0, 0], &mut Data::In(&mut buffer), &mut sense, 1500);
        assert_eq!((read.interface, read.direction, read.length, read.timeout), (83, -3, 512, 1500));
        assert_eq!((read.cdb_length, read.sense_length, read.flags), (6, 96, 0));
        assert_eq!(header(&[0; 6], &mut Data::Out(&[1]), &mut sense, 0).direction, -2);
        let none = header(&[0; 6], &mut Data::In(&mut []), &mut sense, 0);
        assert!(none.direction == -1 && none.data.is_null());
    }

    #[test]
    fn what_is_no_sg_device_refuses() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(execute(&file, &[0; 6], Data::None, &mut [0; 96], 1000).unwrap_err(), Errno::ENOTTY);
        assert_eq!(reserve(&file, 1 << 20).unwrap_err(), Errno::ENOTTY);
    }
}
