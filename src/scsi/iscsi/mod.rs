//! iSCSI from user space, over libiscsi.
//!
//! A session that broke is never repaired under a command: the command fails, and the next one finds a new session and
//! is answered with a unit attention (29h/07h, I_T nexus loss, as SAM-5 clause 6.3.5 asks of the target). So whoever
//! relies on a position learns that it has to be verified. Commands are not sent twice.

mod ffi;
mod url;

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub use url::{Portal, SCHEME, SECRET_VARIABLE, Target, UrlError};

use self::ffi::{ConnectFailure, Failure, Session};
use super::{Data, Reply, Status, Transport, TransportError};

/// Longest data phase in bytes: what a READ(6) or WRITE(6) can ask for is less than 16 MiB; targets were seen to take it.
const MAX_TRANSFER: usize = 8 << 20;
/// Connecting and logging in may take so long.
const LOGIN_LIMIT: Duration = Duration::from_secs(20);
/// Targets ping an idle initiator every few seconds, and drop one that does not answer.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// Open-iSCSI's file: targets may admit initiators by name.
const INITIATOR_FILE: &str = "/etc/iscsi/initiatorname.iscsi";
/// Fixed sense: unit attention, I_T nexus loss occurred.
const NEXUS_LOST: [u8; 18] = [0x70, 0, 0x06, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 0x07, 0, 0, 0, 0];

/// Why an iSCSI device cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum IscsiError {
    /// libiscsi is missing or unusable.
    #[error("iSCSI needs the library libiscsi: on Debian 12 `apt-get install libiscsi7` ({reason})")]
    Library {
        /// What the loader said.
        reason: String,
    },
    /// No session.
    #[error("{device}: cannot log in to the target: {reason}")]
    Target {
        /// The device, without user and secret.
        device: String,
        /// What libiscsi said.
        reason: String,
    },
}

/// The targets behind a portal, each at the address to log in at.
///
/// # Errors
/// The library is missing; the portal cannot be reached or refuses.
pub fn discover(portal: &Portal) -> Result<Vec<Target>, IscsiError> {
    let initiator = initiator_name(std::fs::read_to_string(INITIATOR_FILE).ok().as_deref());
    let found = ffi::send_targets(portal, &initiator, LOGIN_LIMIT).map_err(|failure| match failure {
        ConnectFailure::Library(reason) => IscsiError::Library { reason },
        ConnectFailure::Target(reason) => IscsiError::Target { device: portal.to_string(), reason },
    })?;
    let named = found.into_iter().filter(|(name, _)| !name.is_empty());
    Ok(named.map(|(name, told)| portal.target(&address(portal, &told), &name, 0)).collect())
}

/// Where to log in: the address that was asked, where the target has it too, else the first that it tells. `,N` behind an
/// address is its portal group.
fn address(portal: &Portal, told: &[String]) -> String {
    let plain = |text: &String| text.rsplit_once(',').map_or(text.as_str(), |(plain, _)| plain).to_owned();
    let mut told = told.iter().map(plain).filter(|address| !address.is_empty());
    let first = told.next();
    if first.as_ref() == Some(&portal.address) || told.any(|address| address == portal.address) {
        return portal.address.clone();
    }
    first.unwrap_or_else(|| portal.address.clone())
}

/// One logical unit behind an iSCSI target.
pub struct Iscsi {
    target: Target,
    initiator: String,
    name: String,
    session: Arc<Mutex<Option<Session>>>,
    idle: Option<Idle>,
}

/// The thread that answers the target's pings between commands.
struct Idle {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Idle {
    fn start(session: Arc<Mutex<Option<Session>>>) -> std::io::Result<Idle> {
        let (stop, stopped) = channel();
        let serve = move || {
            while stopped.recv_timeout(IDLE_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                // A session in use answers by itself.
                if let Ok(mut session) = session.try_lock()
                    && let Some(session) = session.as_mut()
                {
                    session.if_alive();
                }
            }
        };
        let thread = std::thread::Builder::new().name("iscsi idle".into()).spawn(serve)?;
        Ok(Idle { stop, thread })
    }

    fn end(self) {
        drop(self.stop);
        let _ = self.thread.join(); // it runs nothing that panics
    }
}

fn lock(session: &Mutex<Option<Session>>) -> MutexGuard<'_, Option<Session>> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Iscsi {
    fn drop(&mut self) {
        if let Some(idle) = self.idle.take() {
            idle.end();
        }
    }
}

impl fmt::Debug for Iscsi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iscsi").field("target", &self.target).field("initiator", &self.initiator).finish()
    }
}

impl Iscsi {
    /// Logs in.
    ///
    /// # Errors
    /// The library is missing; the target cannot be reached or refuses.
    pub fn open(target: Target) -> Result<Iscsi, IscsiError> {
        let initiator = initiator_name(std::fs::read_to_string(INITIATOR_FILE).ok().as_deref());
        let session = Arc::default();
        let mut opened = Iscsi { name: target.to_string(), target, initiator, session, idle: None };
        *lock(&opened.session) = Some(opened.log_in()?);
        // Without the thread a target that pings drops the session when it idles: then the next command finds a new one.
        opened.idle = Idle::start(Arc::clone(&opened.session)).ok();
        Ok(opened)
    }

    fn log_in(&self) -> Result<Session, IscsiError> {
        Session::open(&self.target, &self.initiator, LOGIN_LIMIT).map_err(|failure| match failure {
            ConnectFailure::Library(reason) => IscsiError::Library { reason },
            ConnectFailure::Target(reason) => IscsiError::Target { device: self.name.clone(), reason },
        })
    }

    fn gone(&self, reason: String) -> TransportError {
        TransportError::Gone { device: self.name.clone(), reason }
    }
}

impl Transport for Iscsi {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, TransportError> {
        let mut held = lock(&self.session);
        let Some(session) = held.as_mut().and_then(Session::if_alive) else {
            *held = None; // the old session ends before the new one begins
            *held = Some(self.log_in().map_err(|error| self.gone(error.to_string()))?);
            let sense = NEXUS_LOST.to_vec();
            return Ok(Reply { status: Status::CheckCondition, sense, transferred: 0 });
        };
        session.execute(cdb, data, timeout).map_err(|failure| {
            *held = None;
            match failure {
                Failure::TimedOut => TransportError::TimedOut {
                    device: self.name.clone(),
                    opcode: cdb.first().copied().unwrap_or_default(),
                    timeout,
                },
                Failure::Gone(reason) => self.gone(reason),
            }
        })
    }

    fn max_transfer(&self) -> usize {
        MAX_TRANSFER
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// The machine's initiator name, else one made of the host name.
fn initiator_name(file: Option<&str>) -> String {
    let configured = file
        .into_iter()
        .flat_map(str::lines)
        .find_map(|line| line.trim().strip_prefix("InitiatorName="))
        .map(str::trim)
        .filter(|name| !name.is_empty());
    if let Some(name) = configured {
        return name.to_owned();
    }
    let host =
        nix::unistd::gethostname().map(|host| host.to_string_lossy().to_lowercase()).unwrap_or_default();
    let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || ".-".contains(*c)).collect();
    format!("iqn.2026-11.local.reelward:{}", if host.is_empty() { "host" } else { &host })
}

/// Random and qualifier of an initiator session id (RFC 7143 clause 11.12.5, type 10b): two sessions of one initiator
/// with the same one would end each other.
fn session_id() -> (u32, u32) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let random = std::process::id().rotate_left(12) ^ clock.subsec_nanos();
    (random & 0xff_ffff, NEXT.fetch_add(1, Ordering::Relaxed) & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_initiator_is_the_machines() {
        let file = "## comment\nInitiatorName=iqn.1993-08.org.debian:01:abc \n";
        assert_eq!(initiator_name(Some(file)), "iqn.1993-08.org.debian:01:abc");
        for file in [None, Some(""), Some("InitiatorName=\n")] {
            assert!(initiator_name(file).starts_with("iqn.2026-11.local.reelward:"), "{file:?}");
        }
    }

    #[test]
    fn the_address_asked_is_preferred() {
        let portal = Portal::parse("host:3260", None).unwrap();
        let chosen =
            |told: &[&str]| address(&portal, &told.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(chosen(&["10.0.0.9:3260,1", "host:3260,1"]), "host:3260");
        assert_eq!(chosen(&["10.0.0.9:3260,1", "[fe80::1]:3260,2"]), "10.0.0.9:3260");
        assert_eq!(chosen(&[]), "host:3260");
    }

    #[test]
    fn sessions_are_told_apart() {
        assert_ne!(session_id(), session_id());
    }

    #[test]
    fn a_lost_nexus_is_a_reset() {
        let sense = crate::scsi::Sense::parse(&NEXUS_LOST).unwrap();
        assert!(sense.is_unit_attention() && sense.reset());
    }

    #[test]
    fn an_unreachable_target_is_told_without_the_secret() {
        let target =
            Target::parse("iscsi://me%hidden-secret@127.0.0.1:1/iqn.2026-01.test:none/0", None).unwrap();
        let told = format!("{:?}", Iscsi::open(target).unwrap_err());
        assert!(!told.contains("hidden-secret"), "{told}");
        assert!(told.contains("127.0.0.1:1") || told.contains("Library"), "{told}");
    }
}
