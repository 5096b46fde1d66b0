//! Linux: CDBs through `SG_IO` on `/dev/sgN`.
//!
//! The kernel ends a command that takes longer than its time-out (it aborts it, then resets device, bus and adapter in
//! turn); whatever it reset the device tells as a unit attention. Where it fails at that, [`Watched`] gives the device up:
//! no command waits for ever.

#[cfg(test)]
pub(crate) mod fake;
mod ioctl;
mod names;
pub mod sysfs;

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use self::ioctl::Header;
use super::watchdog::{GRACE, Watched};
use super::{Data, Reply, Sense, Status, Transport, TransportError};

/// Longest data phase that is asked for: some adapters break beyond it. What the kernel grants may be less.
const LARGEST_TRANSFER: usize = 1 << 20;
/// What every adapter can do.
const LEAST_TRANSFER: usize = 64 << 10;
/// Longest sense data (SPC-4 clause 4.5).
const SENSE_LENGTH: usize = 252;

/// Why a device cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SgError {
    /// The name is none of a tape drive or changer.
    #[error("{device}: cannot be used as a tape device")]
    Name {
        /// As the user named it.
        device: String,
        /// The cause.
        source: io::Error,
    },
    /// Somebody else has it.
    #[error("{device}: another program holds the device; `fuser -v {node}` tells which")]
    InUse {
        /// As the user named it.
        device: String,
        /// Its sg node.
        node: String,
    },
    /// No permission.
    #[error("{device}: no permission to open {node}: run as root, or join its group (on Debian `tape`)")]
    Permission {
        /// As the user named it.
        device: String,
        /// Its sg node.
        node: String,
    },
    /// A command of this process hangs there.
    #[error(
        "{device}: a command sent earlier to {node} does not end: the device is offline until it does; power-cycle it"
    )]
    Hung {
        /// As the user named it.
        device: String,
        /// Its sg node.
        node: String,
    },
    /// Any other failure.
    #[error("{device}: {node} cannot be opened")]
    Open {
        /// As the user named it.
        device: String,
        /// Its sg node.
        node: String,
        /// The cause.
        source: io::Error,
    },
}

/// Nodes on which a command of this process hangs.
static HUNG: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn hung() -> MutexGuard<'static, Vec<PathBuf>> {
    HUNG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One logical unit behind a Linux host adapter, on a thread of its own.
#[derive(Debug)]
pub struct LinuxSg(Watched);

/// The open node.
struct Node {
    device: File,
    name: String,
    max_transfer: usize,
}

impl LinuxSg {
    /// Opens `/dev/sgN`, `/dev/nstN`, `/dev/stN`, `/dev/schN` or a link to one of them, for this process alone.
    ///
    /// # Errors
    /// The name is none of a tape drive or changer; another program has it; permissions.
    pub fn open(name: &str) -> Result<LinuxSg, SgError> {
        let device = || name.to_owned();
        let node = names::generic_node(Path::new(name))
            .map_err(|source| SgError::Name { device: device(), source })?;
        let shown = || node.display().to_string();
        if hung().contains(&node) {
            return Err(SgError::Hung { device: device(), node: shown() });
        }
        // A descriptor that cannot write has its commands filtered; without O_NONBLOCK, O_EXCL waits.
        let flags = OFlag::O_EXCL | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let opened =
            patiently(|| File::options().read(true).write(true).custom_flags(flags.bits()).open(&node));
        let file = opened.map_err(|source| match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EBUSY) => SgError::InUse { device: device(), node: shown() },
            Some(Errno::EACCES | Errno::EPERM) => SgError::Permission { device: device(), node: shown() },
            _ => SgError::Open { device: device(), node: shown(), source },
        })?;
        let max_transfer = granted(LARGEST_TRANSFER, |bytes| ioctl::reserve(&file, bytes))
            .map_err(|errno| SgError::Open { device: device(), node: shown(), source: errno.into() })?;
        let opened = Box::new(Node { device: file, name: name.to_owned(), max_transfer });
        let (hangs, ended) = (node.clone(), node.clone());
        let watched = Watched::start(
            opened,
            GRACE,
            move || hung().push(hangs.clone()),
            move || hung().retain(|known| *known != ended),
        );
        watched.map(LinuxSg).map_err(|source| SgError::Open { device: device(), node: shown(), source })
    }
}

/// Opens, again for a moment while another has it: a look at the devices holds each for some milliseconds.
fn patiently(mut open: impl FnMut() -> io::Result<File>) -> io::Result<File> {
    for _ in 0..3 {
        match open() {
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {
                std::thread::sleep(Duration::from_millis(40));
            }
            other => return other,
        }
    }
    open()
}

/// Reserves a buffer, half of it again while memory is short; the longest data phase that is certain to work.
fn granted(mut bytes: usize, mut reserve: impl FnMut(usize) -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        match reserve(bytes) {
            Ok(got) => return Ok(got.clamp(LEAST_TRANSFER, LARGEST_TRANSFER)),
            Err(Errno::ENOMEM) if bytes > LEAST_TRANSFER => bytes /= 2,
            Err(Errno::EBUSY) => return Ok(LEAST_TRANSFER), // the buffer is in use
            Err(errno) => return Err(errno),
        }
    }
}

impl Transport for LinuxSg {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, TransportError> {
        self.0.execute(cdb, data, timeout)
    }

    fn max_transfer(&self) -> usize {
        self.0.max_transfer()
    }

    fn name(&self) -> &str {
        self.0.name()
    }
}

impl Transport for Node {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, TransportError> {
        let opcode = cdb.first().copied().unwrap_or_default();
        let milliseconds = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let mut sense = [0; SENSE_LENGTH];
        match ioctl::execute(&self.device, cdb, data, &mut sense, milliseconds) {
            Ok(header) => interpret(&self.name, opcode, timeout, &header, &sense),
            Err(Errno::ENODEV | Errno::ENXIO) => {
                Err(TransportError::Gone { device: self.name.clone(), reason: "unplugged or offline".into() })
            }
            Err(errno) => Err(TransportError::Io { device: self.name.clone(), opcode, source: errno.into() }),
        }
    }

    fn max_transfer(&self) -> usize {
        self.max_transfer
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// `DID_*` of the kernel, which say why the adapter has no SCSI status.
mod host {
    pub(super) const NO_CONNECT: u16 = 0x01;
    pub(super) const BUS_BUSY: u16 = 0x02;
    pub(super) const TIME_OUT: u16 = 0x03;
    pub(super) const BAD_TARGET: u16 = 0x04;
    pub(super) const RESET: u16 = 0x08;
    pub(super) const TRANSPORT_DISRUPTED: u16 = 0x0e;
    pub(super) const TRANSPORT_FAILFAST: u16 = 0x0f;
    pub(super) const RESERVED: u16 = 0x11;
    pub(super) const TRANSPORT_MARGINAL: u16 = 0x14;
}
/// `DRIVER_TIMEOUT`, and the bits of the field that are not advice.
const DRIVER_TIMEOUT: u16 = 0x06;
const DRIVER_MASK: u16 = 0x0f;
/// `DRIVER_SENSE`: nothing wrong, there is sense data.
const DRIVER_SENSE: u16 = 0x08;

/// What a header says. Adapter and driver come first: a command that ran into its time-out was seen with status GOOD.
fn interpret(
    name: &str,
    opcode: u8,
    timeout: Duration,
    header: &Header,
    sense: &[u8],
) -> Result<Reply, TransportError> {
    let device = || name.to_owned();
    let failed =
        |reason: String| TransportError::Io { device: device(), opcode, source: io::Error::other(reason) };
    let driver = header.driver_status & DRIVER_MASK;
    if header.host_status == host::TIME_OUT || driver == DRIVER_TIMEOUT {
        return Err(TransportError::TimedOut { device: device(), opcode, timeout });
    }
    match header.host_status {
        0 => {}
        host::NO_CONNECT | host::BAD_TARGET | host::TRANSPORT_FAILFAST => {
            return Err(TransportError::Gone {
                device: device(),
                reason: "the adapter cannot reach it".into(),
            });
        }
        // Older kernels (before 6.0) tell a reservation conflict of another host so as well.
        host::RESERVED => {
            return Ok(Reply { status: Status::ReservationConflict, sense: Vec::new(), transferred: 0 });
        }
        host::RESET | host::BUS_BUSY | host::TRANSPORT_DISRUPTED | host::TRANSPORT_MARGINAL => {
            return Err(failed("the bus was reset or disturbed".into()));
        }
        // Some drivers report an error of theirs beside good sense data: the sense tells more.
        _ if header.status == 0x02 && header.sense_written > 0 => {}
        other => return Err(failed(format!("the adapter reports error {other:02x}h"))),
    }
    if driver != 0 && driver != DRIVER_SENSE {
        return Err(failed(format!("the driver reports error {driver:02x}h")));
    }
    let written = sense.get(..usize::from(header.sense_written)).unwrap_or(sense).to_vec();
    // Sense data with status GOOD: some adapters drop the status.
    let status = match Status::from(header.status) {
        Status::Good if driver == DRIVER_SENSE && Sense::parse(&written).is_some() => Status::CheckCondition,
        status => status,
    };
    let offered = usize::try_from(header.length).unwrap_or(0);
    // A residual below zero or beyond what was offered is none.
    let residual = usize::try_from(header.residual).unwrap_or(0).min(offered);
    let sense = if status == Status::CheckCondition { written } else { Vec::new() };
    Ok(Reply { status, sense, transferred: offered - residual })
}

#[cfg(test)]
mod tests {
    use super::ioctl::tests::answered;
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(3);

    fn told(header: &Header, sense: &[u8]) -> Result<Reply, TransportError> {
        interpret("/dev/nst0", 0x0a, TIMEOUT, header, sense)
    }

    #[test]
    fn status_sense_and_residual() {
        assert_eq!(told(&answered(0, 0, 0, 512, 12), &[]).unwrap(), Reply::good(500));
        assert_eq!(told(&answered(0, 0, 0, 512, -4), &[]).unwrap(), Reply::good(512));
        assert_eq!(told(&answered(0, 0, 0, 512, 600), &[]).unwrap(), Reply::good(0));
        assert_eq!(told(&answered(8, 0, 0, 0, 0), &[]).unwrap().status, Status::Busy);
        let bytes = [0x70, 0, 0x80, 0, 0, 2, 0, 10, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 9, 9];
        let mut header = answered(2, 0, DRIVER_SENSE, 512, 512);
        header.sense_written = 18;
        let reply = told(&header, &bytes).unwrap();
        assert_eq!((reply.status, reply.transferred), (Status::CheckCondition, 0));
        assert_eq!(reply.sense, bytes[..18]);
        header.status = 0;
        assert_eq!(told(&header, &bytes).unwrap().status, Status::CheckCondition);
        header.host_status = 0x07; // DID_ERROR beside sense data
        header.status = 2;
        assert_eq!(told(&header, &bytes).unwrap().status, Status::CheckCondition);
    }

    #[test]
    fn adapter_and_driver_come_before_the_status() {
        for header in [answered(0, host::TIME_OUT, 0, 0, 0), answered(0, 0, DRIVER_TIMEOUT, 0, 0)] {
            assert!(matches!(told(&header, &[]), Err(TransportError::TimedOut { .. })));
        }
        assert!(matches!(
            told(&answered(0, host::NO_CONNECT, 0, 0, 0), &[]),
            Err(TransportError::Gone { .. })
        ));
        for header in [answered(0, host::RESET, 0, 0, 0), answered(0, 0x07, 0, 0, 0), answered(0, 0, 4, 0, 0)]
        {
            assert!(matches!(told(&header, &[]), Err(TransportError::Io { .. })));
        }
    }

    #[test]
    fn whatever_the_adapter_says_is_an_answer() {
        // Every pair of adapter and driver status, with and without sense data: an answer or an error, and GOOD only where
        // neither of them complains.
        let sense = [0x70, 0, 0x03, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0];
        for host in (0..=0x20u16).filter(|&host| host != host::RESERVED) {
            for driver in 0..=0x1fu16 {
                for (status, written) in [(0, 0), (0, 18), (2, 0), (2, 18), (8, 0), (0x18, 0)] {
                    let mut header = answered(status, host, driver, 512, 0);
                    header.sense_written = written;
                    let reply = told(&header, &sense);
                    let complains = host != 0 || !matches!(driver & DRIVER_MASK, 0 | DRIVER_SENSE);
                    if let Ok(reply) = &reply {
                        assert!(
                            reply.status != Status::Good || !complains,
                            "{host:02x} {driver:02x}: {reply:?}"
                        );
                        assert_eq!(
                            reply.status == Status::CheckCondition,
                            status == 2 || driver & DRIVER_MASK == DRIVER_SENSE && written > 0 && status == 0
                        );
                    } else {
                        assert!(complains, "{host:02x} {driver:02x}: {reply:?}");
                    }
                }
            }
        }
        assert_eq!(
            told(&answered(0x18, host::RESERVED, 0, 0, 0), &[]).unwrap().status,
            Status::ReservationConflict
        );
        // A timed-out command that carries sense of an earlier one stays timed out.
        let mut header = answered(2, host::TIME_OUT, DRIVER_SENSE, 512, 0);
        header.sense_written = 18;
        assert!(matches!(told(&header, &sense), Err(TransportError::TimedOut { .. })));
        // More sense bytes than there is room for, and none that can be understood.
        header = answered(2, 0, 0, 512, 0);
        header.sense_written = 255;
        assert_eq!(told(&header, &sense).unwrap().sense.len(), sense.len());
        header = answered(0, 0, DRIVER_SENSE, 512, 0);
        header.sense_written = 2;
        assert_eq!(told(&header, &[0, 0]).unwrap().status, Status::Good, "no sense, no complaint");
    }

    #[test]
    fn a_device_that_is_looked_at_is_waited_for() {
        let busy = || io::Error::from_raw_os_error(Errno::EBUSY as i32);
        let mut tries = 0;
        let opened = patiently(|| {
            tries += 1;
            if tries < 3 { Err(busy()) } else { tempfile::tempfile() }
        });
        assert!(opened.is_ok() && tries == 3);
        let kept = patiently(|| Err(busy())).unwrap_err();
        assert_eq!(kept.raw_os_error(), Some(Errno::EBUSY as i32));
        let mut tries = 0;
        let refused = patiently(|| {
            tries += 1;
            Err(io::Error::from_raw_os_error(Errno::EACCES as i32))
        });
        assert!(refused.is_err() && tries == 1);
    }

    #[test]
    fn the_buffer_is_halved_while_memory_is_short() {
        let mut asked = Vec::new();
        let got = granted(LARGEST_TRANSFER, |bytes| {
            asked.push(bytes);
            if bytes > 256 << 10 { Err(Errno::ENOMEM) } else { Ok(bytes) }
        });
        assert_eq!((got, asked), (Ok(256 << 10), vec![1 << 20, 512 << 10, 256 << 10]));
        assert_eq!(granted(LARGEST_TRANSFER, |_| Ok(8 << 20)), Ok(1 << 20));
        assert_eq!(granted(LARGEST_TRANSFER, |_| Err(Errno::ENOMEM)), Err(Errno::ENOMEM));
    }

    #[test]
    fn a_node_on_which_a_command_hangs_is_not_opened() {
        let place = tempfile::tempdir().unwrap();
        let node = place.path().canonicalize().unwrap().join("sg7");
        std::fs::write(&node, "").unwrap();
        let open = || LinuxSg::open(&node.display().to_string()).unwrap_err();
        hung().push(node.clone());
        assert!(matches!(open(), SgError::Hung { .. }));
        hung().retain(|known| *known != node);
        assert!(matches!(open(), SgError::Open { .. }), "a file that is no device");
    }

    #[test]
    fn what_is_no_device_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = LinuxSg::open(&file.path().display().to_string()).unwrap_err();
        assert!(matches!(error, SgError::Name { .. }), "{error:?}");
    }
}
