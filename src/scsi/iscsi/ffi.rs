//! The C boundary to libiscsi: the few functions that are needed, and a session that cannot be misused.
//!
//! The library is loaded at run time. All calls for one session come from the thread that owns it; libiscsi calls back
//! only from within those calls.
#![allow(unsafe_code)] // the C boundary

use std::ffi::{CStr, CString, c_char, c_int, c_uchar, c_void};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use libloading::Library;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::url::{Portal, Target};
use crate::scsi::{Data, Reply, Status};

/// Names under which the library is known, the one of Debian 12 (package `libiscsi7`) first.
const LIBRARIES: [&str; 6] =
    ["libiscsi.so.7", "libiscsi.so.8", "libiscsi.so.9", "libiscsi.so.10", "libiscsi.so.11", "libiscsi.so"];

/// `struct iscsi_context`, never looked into.
#[repr(C)]
struct Context {
    _private: [u8; 0],
}

/// `struct scsi_sense`.
#[repr(C)]
struct SenseFields {
    error_type: c_uchar,
    key: c_int,
    ascq: c_int,
    bits: [u8; 4],
}

/// The beginning of `struct scsi_task`, up to the data that came back.
#[repr(C)]
struct Task {
    status: c_int,
    cdb_size: c_int,
    direction: c_int,
    expected: c_int,
    cdb: [c_uchar; LONGEST_CDB],
    residual_status: c_int,
    residual: usize,
    sense: SenseFields,
    data_length: c_int,
    data: *const c_uchar,
}

/// `struct iscsi_target_portal`.
#[repr(C)]
struct PortalItem {
    next: *const PortalItem,
    portal: *const c_char,
}

/// `struct iscsi_discovery_address`.
#[repr(C)]
struct AddressItem {
    next: *const AddressItem,
    name: *const c_char,
    portals: *const PortalItem,
}

type Callback = unsafe extern "C" fn(*mut Context, c_int, *mut c_void, *mut c_void);

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        struct Api {
            $($name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            /// The pointers are valid while it is loaded.
            _library: Library,
        }

        impl Api {
            fn bind(library: Library) -> Result<Api, libloading::Error> {
                // SAFETY: the types are those of the functions in iscsi.h and scsi-lowlevel.h.
                unsafe {
                    Ok(Api {
                        $($name: *library.get(concat!(stringify!($name), "\0").as_bytes())?,)*
                        _library: library,
                    })
                }
            }
        }
    };
}

functions! {
    iscsi_create_context: fn(*const c_char) -> *mut Context;
    iscsi_destroy_context: fn(*mut Context) -> c_int;
    iscsi_get_error: fn(*mut Context) -> *const c_char;
    iscsi_get_target_address: fn(*mut Context) -> *const c_char;
    iscsi_set_targetname: fn(*mut Context, *const c_char) -> c_int;
    iscsi_set_session_type: fn(*mut Context, c_int) -> c_int;
    iscsi_set_header_digest: fn(*mut Context, c_int) -> c_int;
    iscsi_set_isid_random: fn(*mut Context, u32, u32) -> c_int;
    iscsi_set_initiator_username_pwd: fn(*mut Context, *const c_char, *const c_char) -> c_int;
    iscsi_set_noautoreconnect: fn(*mut Context, c_int);
    iscsi_set_tcp_user_timeout: fn(*mut Context, c_int);
    iscsi_connect_async: fn(*mut Context, *const c_char, Callback, *mut c_void) -> c_int;
    iscsi_login_async: fn(*mut Context, Callback, *mut c_void) -> c_int;
    iscsi_logout_async: fn(*mut Context, Callback, *mut c_void) -> c_int;
    iscsi_discovery_async: fn(*mut Context, Callback, *mut c_void) -> c_int;
    iscsi_get_fd: fn(*mut Context) -> c_int;
    iscsi_which_events: fn(*mut Context) -> c_int;
    iscsi_service: fn(*mut Context, c_int) -> c_int;
    iscsi_scsi_command_async: fn(*mut Context, c_int, *mut Task, Callback, *mut c_void, *mut c_void) -> c_int;
    scsi_create_task: fn(c_int, *const c_uchar, c_int, c_int) -> *mut Task;
    scsi_free_scsi_task: fn(*mut Task);
    scsi_task_add_data_in_buffer: fn(*mut Task, c_int, *mut c_uchar) -> c_int;
    scsi_task_add_data_out_buffer: fn(*mut Task, c_int, *const c_uchar) -> c_int;
}

/// `SCSI_CDB_MAX_SIZE`.
const LONGEST_CDB: usize = 16;
const DISCOVERY_SESSION: c_int = 1;
const NORMAL_SESSION: c_int = 2;
/// More targets or addresses of one than any list that is one.
const MOST_ITEMS: usize = 4096;
/// Offers both; the target chooses.
const DIGEST_NONE_OR_CRC32C: c_int = 1;
const UNDERFLOW: c_int = 1;
/// From here on a status is libiscsi's own: cancelled, failed.
const NOT_SCSI: i64 = 0x100;
const REDIRECT: i64 = 0x101;
/// What [`Session::done`] holds until the callback came.
const PENDING: i64 = i64::MIN;
/// A dead peer is noticed after so long even where a command may take hours.
const UNACKNOWLEDGED_MS: c_int = 60_000;
/// Sense data longer than this is no sense data.
const LONGEST_SENSE: usize = 1 << 12;
/// How long a session's end is waited for.
const LOGOUT_LIMIT: Duration = Duration::from_secs(2);

fn api() -> Result<&'static Api, String> {
    static API: OnceLock<Result<Api, String>> = OnceLock::new();
    let loaded = API.get_or_init(|| {
        let mut why = String::new();
        for name in LIBRARIES {
            // SAFETY: libiscsi has no initialisers beyond those of the C library.
            match unsafe { Library::new(name) } {
                Ok(library) => return Api::bind(library).map_err(|error| error.to_string()),
                Err(error) if why.is_empty() => why = error.to_string(),
                Err(_) => {}
            }
        }
        Err(why)
    });
    loaded.as_ref().map_err(Clone::clone)
}

/// Why a session cannot be had.
#[derive(Debug)]
pub(super) enum ConnectFailure {
    /// The shared library is missing or is not what it should be.
    Library(String),
    /// The target cannot be reached or refuses.
    Target(String),
}

/// Why a command has no status.
#[derive(Debug)]
pub(super) enum Failure {
    /// The time has passed; the session is of no use any more.
    TimedOut,
    /// The session is of no use any more.
    Gone(String),
}

/// One logged-in session, used by one thread at a time.
pub(super) struct Session {
    api: &'static Api,
    context: *mut Context,
    /// Where the callback puts the status. Lives until the context is destroyed.
    done: Box<AtomicI64>,
    /// Where the callback of a discovery puts what it found. Lives as long.
    found: Box<Found>,
    lun: c_int,
    alive: bool,
}

// SAFETY: libiscsi binds a context to no thread, and `&mut self` keeps it to one at a time.
unsafe impl Send for Session {}

unsafe extern "C" fn finished(_: *mut Context, status: c_int, _: *mut c_void, done: *mut c_void) {
    // SAFETY: the pointer given with every callback is `Session::done`, which outlives the context.
    unsafe { (*done.cast::<AtomicI64>()).store(status.into(), Ordering::Relaxed) };
}

/// What a discovery found, and its status.
#[derive(Default)]
struct Found {
    targets: Mutex<Vec<(String, Vec<String>)>>,
    status: AtomicI64,
}

unsafe extern "C" fn discovered(_: *mut Context, status: c_int, data: *mut c_void, found: *mut c_void) {
    // SAFETY: the pointer given with this callback is `Session::found`, which outlives the context.
    let found = unsafe { &*found.cast::<Found>() };
    if status == 0 {
        // SAFETY: with status 0 libiscsi hands out a list of targets, which lives during this call.
        let targets = unsafe { targets(data.cast_const().cast()) };
        *found.targets.lock().unwrap_or_else(PoisonError::into_inner) = targets;
    }
    found.status.store(status.into(), Ordering::Relaxed);
}

/// Names and addresses of a list of targets.
///
/// # Safety
/// `item` is null or the head of a list whose texts are null or end with zero.
unsafe fn targets(mut item: *const AddressItem) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    while !item.is_null() && found.len() < MOST_ITEMS {
        // SAFETY: as the caller promises, for this item and the addresses it leads to.
        unsafe {
            let mut addresses = Vec::new();
            let mut portal = (*item).portals;
            while !portal.is_null() && addresses.len() < MOST_ITEMS {
                addresses.push(text_at((*portal).portal));
                portal = (*portal).next;
            }
            found.push((text_at((*item).name), addresses));
            item = (*item).next;
        }
    }
    found
}

/// The targets behind a portal with their addresses (RFC 7143 appendix C, SendTargets=All), as it tells them.
pub(super) fn send_targets(
    portal: &Portal,
    initiator: &str,
    limit: Duration,
) -> Result<Vec<(String, Vec<String>)>, ConnectFailure> {
    let api = api().map_err(ConnectFailure::Library)?;
    let nowhere = portal.target(&portal.address, "", 0);
    let mut session = Session::create(api, &nowhere, initiator)?;
    if let Some(other) = session.log_in(&portal.address, limit)? {
        session = Session::create(api, &nowhere, initiator)?;
        if session.log_in(&other, limit)?.is_some() {
            return Err(ConnectFailure::Target("the target redirects in circles".into()));
        }
    }
    session.discover(limit)
}

impl Session {
    /// Asks a discovery session for all targets.
    fn discover(&mut self, limit: Duration) -> Result<Vec<(String, Vec<String>)>, ConnectFailure> {
        let deadline = Instant::now() + limit;
        self.found.status.store(PENDING, Ordering::Relaxed);
        let found = std::ptr::from_ref::<Found>(&self.found).cast_mut().cast();
        // SAFETY: the context is alive; `found` outlives it.
        if unsafe { (self.api.iscsi_discovery_async)(self.context, discovered, found) } != 0 {
            return Err(ConnectFailure::Target(self.error()));
        }
        match self.wait_for(|session| session.found.status.load(Ordering::Relaxed), deadline) {
            Ok(0) => {
                let mut targets = self.found.targets.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(std::mem::take(&mut *targets))
            }
            Ok(_) => Err(ConnectFailure::Target(self.error())),
            Err(Failure::Gone(reason)) => Err(ConnectFailure::Target(reason)),
            Err(Failure::TimedOut) => Err(ConnectFailure::Target("no answer".into())),
        }
    }

    /// Connects and logs in, following at most three redirections.
    pub(super) fn open(target: &Target, initiator: &str, limit: Duration) -> Result<Session, ConnectFailure> {
        let api = api().map_err(ConnectFailure::Library)?;
        let mut portal = target.portal.clone();
        for _ in 0..4 {
            let mut session = Session::create(api, target, initiator)?;
            match session.log_in(&portal, limit)? {
                Some(other) => portal = other,
                None => return Ok(session),
            }
        }
        Err(ConnectFailure::Target("the target redirects in circles".into()))
    }

    fn create(api: &'static Api, target: &Target, initiator: &str) -> Result<Session, ConnectFailure> {
        let text = |text: &str| {
            CString::new(text).map_err(|_| ConnectFailure::Target("a name holds a zero byte".into()))
        };
        let (initiator, name) = (text(initiator)?, text(&target.name)?);
        let (random, qualifier) = super::session_id();
        // SAFETY: the strings end with zero and are copied by the callee.
        let context = unsafe { (api.iscsi_create_context)(initiator.as_ptr()) };
        if context.is_null() {
            return Err(ConnectFailure::Target("libiscsi made no session".into()));
        }
        let session = Session {
            api,
            context,
            done: Box::new(AtomicI64::new(PENDING)),
            found: Box::default(),
            lun: target.lun,
            alive: false,
        };
        // Who asks for targets names none.
        let kind = if target.name.is_empty() { DISCOVERY_SESSION } else { NORMAL_SESSION };
        // SAFETY: the context was just made; the strings end with zero and are copied by the callee.
        let refused = unsafe {
            // A command that libiscsi sent again by itself would be written twice.
            (api.iscsi_set_noautoreconnect)(context, 1);
            (api.iscsi_set_tcp_user_timeout)(context, UNACKNOWLEDGED_MS);
            let named = match kind {
                NORMAL_SESSION => (api.iscsi_set_targetname)(context, name.as_ptr()),
                _ => 0,
            };
            named
                | (api.iscsi_set_session_type)(context, kind)
                | (api.iscsi_set_header_digest)(context, DIGEST_NONE_OR_CRC32C)
                | (api.iscsi_set_isid_random)(context, random, qualifier)
        };
        if refused != 0 {
            return Err(ConnectFailure::Target(session.error()));
        }
        if let Some(user) = &target.user {
            let (user, secret) =
                (text(user)?, zeroize::Zeroizing::new(text(&target.secret)?.into_bytes_with_nul()));
            // SAFETY: both end with zero and are copied by the callee.
            let refused = unsafe {
                (api.iscsi_set_initiator_username_pwd)(context, user.as_ptr(), secret.as_ptr().cast())
            };
            if refused != 0 {
                return Err(ConnectFailure::Target("user name or secret is too long".into()));
            }
        }
        Ok(session)
    }

    /// The address to go to instead, where the target redirects.
    fn log_in(&mut self, portal: &str, limit: Duration) -> Result<Option<String>, ConnectFailure> {
        let deadline = Instant::now() + limit;
        let portal = CString::new(portal)
            .map_err(|_| ConnectFailure::Target("the address holds a zero byte".into()))?;
        let (context, done) = (self.context, self.expect());
        // SAFETY: the address ends with zero and is copied by the callee; `done` outlives the context.
        let started = unsafe { (self.api.iscsi_connect_async)(context, portal.as_ptr(), finished, done) };
        self.step(started, deadline)?;
        let done = self.expect();
        // SAFETY: as above.
        let started = unsafe { (self.api.iscsi_login_async)(context, finished, done) };
        if self.step(started, deadline)? == REDIRECT {
            // SAFETY: a string in the context, null or ended with zero.
            let address = unsafe { text_at((self.api.iscsi_get_target_address)(context)) };
            return Ok(Some(address));
        }
        self.alive = true;
        Ok(None)
    }

    /// Waits for one step of a login.
    fn step(&mut self, started: c_int, deadline: Instant) -> Result<i64, ConnectFailure> {
        if started != 0 {
            return Err(ConnectFailure::Target(self.error()));
        }
        match self.wait(deadline) {
            Ok(status @ (0 | REDIRECT)) => Ok(status),
            Ok(_) => Err(ConnectFailure::Target(self.error())),
            Err(Failure::Gone(reason)) => Err(ConnectFailure::Target(reason)),
            Err(Failure::TimedOut) => Err(ConnectFailure::Target("no answer".into())),
        }
    }

    /// Prepares for a callback; what to give with it.
    fn expect(&mut self) -> *mut c_void {
        self.done.store(PENDING, Ordering::Relaxed);
        std::ptr::from_ref::<AtomicI64>(&self.done).cast_mut().cast()
    }

    /// Serves the connection until the callback came; its status.
    fn wait(&mut self, deadline: Instant) -> Result<i64, Failure> {
        self.wait_for(|session| session.done.load(Ordering::Relaxed), deadline)
    }

    /// Serves the connection until a callback has put down a status.
    fn wait_for(&mut self, told: impl Fn(&Session) -> i64, deadline: Instant) -> Result<i64, Failure> {
        loop {
            let status = told(self);
            if status != PENDING {
                return Ok(status);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.alive = false;
                return Err(Failure::TimedOut);
            }
            // SAFETY: the context is alive.
            let events = unsafe { (self.api.iscsi_which_events)(self.context) };
            let wanted = PollFlags::from_bits_truncate(u16::try_from(events).unwrap_or_default());
            let found = self.poll(wanted, left.min(Duration::from_secs(1)));
            // SAFETY: the context is alive.
            let served = unsafe { (self.api.iscsi_service)(self.context, found.bits().into()) };
            if served < 0 && told(self) == PENDING {
                self.alive = false;
                return Err(Failure::Gone(self.error()));
            }
        }
    }

    fn poll(&self, wanted: PollFlags, limit: Duration) -> PollFlags {
        // SAFETY: the context is alive.
        let fd = unsafe { (self.api.iscsi_get_fd)(self.context) };
        if fd < 0 {
            return PollFlags::HUP;
        }
        // SAFETY: the descriptor belongs to the context and is not closed during this call.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let mut fds = [PollFd::from_borrowed_fd(fd, wanted)];
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        match poll(&mut fds, Some(&limit)) {
            Ok(_) => fds[0].revents(),
            Err(_) => PollFlags::empty(), // interrupted: the caller asks again
        }
    }

    /// The session, where it can still be used.
    pub(super) fn if_alive(&mut self) -> Option<&mut Session> {
        if self.is_alive() { Some(self) } else { None }
    }

    /// Serves what the target sent while nothing was under way; whether the session can be used.
    fn is_alive(&mut self) -> bool {
        const GONE: PollFlags =
            PollFlags::HUP.union(PollFlags::ERR).union(PollFlags::RDHUP).union(PollFlags::NVAL);
        while self.alive {
            let found = self.poll(PollFlags::IN | PollFlags::RDHUP, Duration::ZERO);
            if found.intersects(GONE) {
                self.alive = false;
            } else if found.is_empty() {
                // An answer to the target's ping may wait to be sent.
                // SAFETY: the context is alive.
                let wants = unsafe { (self.api.iscsi_which_events)(self.context) };
                if wants & c_int::from(PollFlags::OUT.bits()) == 0 {
                    break;
                }
                self.serve(PollFlags::OUT);
                break;
            } else {
                self.serve(found);
            }
        }
        self.alive
    }

    fn serve(&mut self, events: PollFlags) {
        // SAFETY: the context is alive.
        let served = unsafe { (self.api.iscsi_service)(self.context, events.bits().into()) };
        self.alive &= served >= 0;
    }

    /// Executes one CDB.
    pub(super) fn execute(
        &mut self,
        cdb: &[u8],
        data: Data<'_>,
        timeout: Duration,
    ) -> Result<Reply, Failure> {
        let length = data.len();
        let (Ok(size), Ok(expected)) = (c_int::try_from(cdb.len()), c_int::try_from(length)) else {
            return Err(Failure::Gone("command or data too long".into()));
        };
        if cdb.len() > LONGEST_CDB {
            return Err(Failure::Gone("command too long".into()));
        }
        let (direction, into, from) = match data {
            Data::In(buffer) if length > 0 => (1, buffer.as_mut_ptr(), std::ptr::null()),
            Data::Out(buffer) if length > 0 => (2, std::ptr::null_mut(), buffer.as_ptr()),
            _ => (0, std::ptr::null_mut(), std::ptr::null()),
        };
        // SAFETY: the CDB is `size` bytes and is copied by the callee.
        let task = unsafe { (self.api.scsi_create_task)(size, cdb.as_ptr(), direction, expected) };
        if task.is_null() {
            return Err(Failure::Gone("out of memory".into()));
        }
        // SAFETY: a task that was just made; nothing else refers to it.
        if !unsafe { laid_out_as_declared(&*task, cdb, direction, expected) } {
            // SAFETY: the task was never queued.
            unsafe { (self.api.scsi_free_scsi_task)(task) };
            return Err(Failure::Gone("this version of libiscsi is not known: its structures differ".into()));
        }
        let done = self.expect();
        // SAFETY: the buffers are borrowed for this call, and before it returns either the command has finished or
        // `abandon` has destroyed the context, after which libiscsi does not touch them.
        let started = unsafe {
            let refused = match direction {
                1 => (self.api.scsi_task_add_data_in_buffer)(task, expected, into),
                2 => (self.api.scsi_task_add_data_out_buffer)(task, expected, from),
                _ => 0,
            };
            let null = std::ptr::null_mut();
            refused | (self.api.iscsi_scsi_command_async)(self.context, self.lun, task, finished, null, done)
        };
        let outcome =
            if started == 0 { self.wait(Instant::now() + timeout) } else { Err(Failure::Gone(self.error())) };
        let reply = match outcome {
            // SAFETY: the command has finished; the task and what it points to are ours until it is freed.
            Ok(status) if (0..NOT_SCSI).contains(&status) => Ok(unsafe { reply(&*task, status, length) }),
            Ok(_) => Err(Failure::Gone(self.error())),
            Err(failure) => Err(failure),
        };
        if reply.is_err() {
            self.abandon();
        }
        // SAFETY: no one else refers to the task: its command has finished, or the context is destroyed.
        unsafe { (self.api.scsi_free_scsi_task)(task) };
        reply
    }

    /// Ends the session without a word, so that nothing is read into or from buffers of a command under way.
    fn abandon(&mut self) {
        self.alive = false;
        if !self.context.is_null() {
            // SAFETY: the context is alive, and never used again.
            unsafe { (self.api.iscsi_destroy_context)(self.context) };
            self.context = std::ptr::null_mut();
        }
    }

    /// What libiscsi says of the last failure.
    fn error(&self) -> String {
        // SAFETY: a string in the context, null or ended with zero.
        let text = unsafe { text_at((self.api.iscsi_get_error)(self.context)) };
        if text.is_empty() { "the connection broke".into() } else { text }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_alive() {
            let done = self.expect();
            // SAFETY: the context is alive; `done` outlives it.
            if unsafe { (self.api.iscsi_logout_async)(self.context, finished, done) } == 0 {
                let _ = self.wait(Instant::now() + LOGOUT_LIMIT);
            }
        }
        self.abandon();
    }
}

/// Whether the library's `struct scsi_task` begins as [`Task`] says.
fn laid_out_as_declared(task: &Task, cdb: &[u8], direction: c_int, expected: c_int) -> bool {
    usize::try_from(task.cdb_size) == Ok(cdb.len())
        && task.direction == direction
        && task.expected == expected
        && task.cdb.starts_with(cdb)
        && task.residual == 0
        && task.data.is_null()
}

/// The status, sense and count of a finished task.
///
/// # Safety
/// `data` points to `data_length` bytes, or is null.
unsafe fn reply(task: &Task, status: i64, length: usize) -> Reply {
    let status = Status::from(u8::try_from(status).unwrap_or(u8::MAX));
    let missing = if task.residual_status == UNDERFLOW { task.residual } else { 0 };
    let mut sense = Vec::new();
    let bytes = usize::try_from(task.data_length).unwrap_or(0);
    if status == Status::CheckCondition && !task.data.is_null() && (2..LONGEST_SENSE).contains(&bytes) {
        // SAFETY: as the caller promises.
        let segment = unsafe { std::slice::from_raw_parts(task.data, bytes) };
        // RFC 7143 clause 11.4.7.2: a length of two bytes, then the sense data.
        let told = usize::from(u16::from_be_bytes([segment[0], segment[1]]));
        sense.extend(segment.iter().skip(2).take(told));
    }
    Reply { status, sense, transferred: length.saturating_sub(missing) }
}

/// # Safety
/// `text` is null or points to bytes that end with zero.
unsafe fn text_at(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_owned()
}
