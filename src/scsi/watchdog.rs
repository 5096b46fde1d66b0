//! A transport on a thread of its own, so that a command that never ends stops nobody but that thread.
//!
//! The kernel ends a command that takes longer than its time-out; where adapter or driver are broken it was seen not to,
//! and no signal ends the system call then. So nobody waits for longer than the time-out and a grace for the kernel's own
//! attempts (abort, then resets of device, bus and adapter). The thread takes no signals: one would have the kernel begin
//! SG_IO again (SA_RESTART), and a record would be written twice. After that the device counts as hung: the thread is left to
//! itself with its own copy of the data, and every later command fails at once.

use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::SigSet;

use super::{Data, Reply, Transport, TransportError};

/// The kernel's own attempts to end a command may take so long beyond its time-out.
pub const GRACE: Duration = Duration::from_secs(180);

/// One command on its way to the thread; its data belongs to the thread meanwhile.
struct Job {
    cdb: Vec<u8>,
    direction: Direction,
    bytes: Vec<u8>,
    timeout: Duration,
}

#[derive(Clone, Copy)]
enum Direction {
    None,
    In,
    Out,
}

/// What came of it, and the buffer back.
struct Done {
    outcome: Result<Reply, TransportError>,
    bytes: Vec<u8>,
}

/// The thread that executes.
struct Worker {
    jobs: Sender<Job>,
    done: Receiver<Done>,
    thread: JoinHandle<()>,
}

/// A transport whose commands end in time, one way or the other.
pub struct Watched {
    name: String,
    max_transfer: usize,
    grace: Duration,
    worker: Option<Worker>,
    on_hang: Box<dyn Fn() + Send>,
    /// Operation code of the command that hangs, and how long it was waited for.
    hung: Option<(u8, Duration)>,
    buffer: Vec<u8>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("name", &self.name).field("hung", &self.hung).finish_non_exhaustive()
    }
}

impl Watched {
    /// Puts `inner` on a thread. `on_hang` is called when it is given up; `on_end` by the thread when `inner` is closed at
    /// last, always after `on_hang`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        inner: Box<dyn Transport>,
        grace: Duration,
        on_hang: impl Fn() + Send + 'static,
        on_end: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Watched> {
        let (name, max_transfer) = (inner.name().to_owned(), inner.max_transfer());
        let (jobs, work) = channel();
        let (told, done) = channel();
        let run = move || {
            // It cannot fail for a mask that is one.
            let _ = SigSet::all().thread_block();
            serve(inner, &work, &told);
            on_end();
        };
        let thread = std::thread::Builder::new().name("scsi".into()).spawn(run)?;
        Ok(Watched {
            name,
            max_transfer,
            grace,
            worker: Some(Worker { jobs, done, thread }),
            on_hang: Box::new(on_hang),
            hung: None,
            buffer: Vec::new(),
        })
    }

    fn hangs(&self, opcode: u8, waited: Duration) -> TransportError {
        TransportError::Hung { device: self.name.clone(), opcode, waited }
    }

    fn gone(&self) -> TransportError {
        TransportError::Gone { device: self.name.clone(), reason: "its thread ended".into() }
    }
}

/// Executes until nobody is left to ask or to listen.
fn serve(mut inner: Box<dyn Transport>, work: &Receiver<Job>, told: &Sender<Done>) {
    while let Ok(Job { cdb, direction, mut bytes, timeout }) = work.recv() {
        let data = match direction {
            Direction::None => Data::None,
            Direction::In => Data::In(&mut bytes),
            Direction::Out => Data::Out(&bytes),
        };
        let outcome = inner.execute(&cdb, data, timeout);
        if told.send(Done { outcome, bytes }).is_err() {
            return;
        }
    }
}

impl Transport for Watched {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, TransportError> {
        if let Some((opcode, waited)) = self.hung {
            return Err(self.hangs(opcode, waited));
        }
        // What the device does not fill keeps what the caller had there.
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.clear();
        let direction = match &data {
            Data::None => Direction::None,
            Data::In(buffer) => {
                bytes.extend_from_slice(buffer);
                Direction::In
            }
            Data::Out(buffer) => {
                bytes.extend_from_slice(buffer);
                Direction::Out
            }
        };
        let Some(worker) = &self.worker else { return Err(self.gone()) };
        let job = Job { cdb: cdb.to_vec(), direction, bytes, timeout };
        if worker.jobs.send(job).is_err() {
            return Err(self.gone());
        }
        let waited = timeout.saturating_add(self.grace);
        match worker.done.recv_timeout(waited) {
            Ok(Done { outcome, bytes }) => {
                if let Data::In(buffer) = data
                    && buffer.len() == bytes.len()
                {
                    buffer.copy_from_slice(&bytes);
                }
                self.buffer = bytes;
                outcome
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.gone()),
            Err(RecvTimeoutError::Timeout) => {
                let opcode = cdb.first().copied().unwrap_or_default();
                self.hung = Some((opcode, waited));
                // Before the thread can learn that nobody listens: `on_end` comes after it.
                (self.on_hang)();
                self.worker = None;
                Err(self.hangs(opcode, waited))
            }
        }
    }

    fn max_transfer(&self) -> usize {
        self.max_transfer
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// The device is closed when this returns, unless it hangs.
impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(Worker { jobs, done, thread }) = self.worker.take() {
            drop((jobs, done));
            let _ = thread.join(); // it waits for nothing else: no command is under way
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::scsi::Status;
    use crate::scsi::script::{Answer, Scripted, check};

    /// Says in the data whether its thread takes SIGINT.
    struct Signals;

    impl Transport for Signals {
        fn execute(&mut self, _: &[u8], data: Data<'_>, _: Duration) -> Result<Reply, TransportError> {
            let blocked = SigSet::thread_get_mask().unwrap();
            if let Data::In(buffer) = data {
                buffer[0] = u8::from(!blocked.contains(nix::sys::signal::SIGINT));
                buffer[1] = u8::from(!blocked.contains(nix::sys::signal::SIGTERM));
            }
            Ok(Reply::good(2))
        }

        fn max_transfer(&self) -> usize {
            1 << 20
        }

        fn name(&self) -> &str {
            "/dev/nst0"
        }
    }

    #[test]
    fn no_signal_interrupts_a_command() {
        let mut buffer = [9; 2];
        Signals.execute(&[0; 6], Data::In(&mut buffer), LIMIT).unwrap();
        assert_eq!(buffer, [1, 1], "this thread takes them");
        let mut watched = Watched::start(Box::new(Signals), LIMIT, || {}, || {}).unwrap();
        watched.execute(&[0; 6], Data::In(&mut buffer), LIMIT).unwrap();
        assert_eq!(buffer, [0, 0]);
    }

    /// Does not end a REWIND before it is let go.
    struct Stuck(Receiver<()>);

    impl Transport for Stuck {
        fn execute(&mut self, cdb: &[u8], _: Data<'_>, _: Duration) -> Result<Reply, TransportError> {
            if cdb[0] == 0x01 {
                let _ = self.0.recv();
            }
            Ok(Reply::good(0))
        }

        fn max_transfer(&self) -> usize {
            1 << 20
        }

        fn name(&self) -> &str {
            "/dev/nst0"
        }
    }

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn commands_and_data_pass_both_ways() {
        let (transport, script) = Scripted::new(4096);
        let ended = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&ended);
        let mut watched = Watched::start(
            transport,
            LIMIT,
            || panic!("nothing hangs"),
            move || {
                count.fetch_add(1, Ordering::Relaxed);
            },
        )
        .unwrap();
        assert_eq!((watched.name(), watched.max_transfer()), ("double", 4096));
        script
            .expect(&[0x0a], Answer::Good)
            .expect(&[0x12], Answer::Bytes(vec![1, 2, 3]))
            .expect(&[0x00], check(6, 0x29, 0))
            .expect(&[0x00], Answer::Dead);
        assert_eq!(watched.execute(&[0x0a, 0], Data::Out(b"written"), LIMIT).unwrap(), Reply::good(7));
        let mut buffer = [9; 5];
        assert_eq!(watched.execute(&[0x12, 0], Data::In(&mut buffer), LIMIT).unwrap().transferred, 3);
        assert_eq!(buffer, [1, 2, 3, 9, 9], "what did not move stays");
        let reply = watched.execute(&[0; 6], Data::None, LIMIT).unwrap();
        assert_eq!((reply.status, reply.sense.len()), (Status::CheckCondition, 18));
        assert!(matches!(watched.execute(&[0; 6], Data::None, LIMIT), Err(TransportError::TimedOut { .. })));
        script.done();
        assert_eq!(script.sent()[0].1, b"written");
        assert_eq!(ended.load(Ordering::Relaxed), 0);
        drop(watched);
        assert_eq!(ended.load(Ordering::Relaxed), 1, "closed when the drop returns");
    }

    #[test]
    fn a_hung_command_is_given_up_and_later_ones_fail_at_once() {
        let (release, held) = channel();
        let order = Arc::new(Mutex::new(Vec::new()));
        let (ended, end) = channel();
        let (first, second) = (Arc::clone(&order), Arc::clone(&order));
        let mut watched = Watched::start(
            Box::new(Stuck(held)),
            Duration::from_millis(30),
            move || first.lock().unwrap().push("hang"),
            move || {
                second.lock().unwrap().push("end");
                ended.send(()).unwrap();
            },
        )
        .unwrap();
        watched.execute(&[0; 6], Data::None, Duration::from_millis(10)).unwrap();
        let error = watched.execute(&[1, 0, 0, 0, 0, 0], Data::None, Duration::from_millis(10)).unwrap_err();
        assert!(matches!(error, TransportError::Hung { opcode: 1, .. }), "{error:?}");
        // A time-out of hours is not waited for.
        let error = watched.execute(&[0; 6], Data::None, Duration::from_secs(7200)).unwrap_err();
        assert!(error.to_string().contains("/dev/nst0"), "{error}");
        assert_eq!(*order.lock().unwrap(), ["hang"]);
        drop(watched); // waits for nobody
        release.send(()).unwrap();
        end.recv_timeout(LIMIT).unwrap();
        assert_eq!(*order.lock().unwrap(), ["hang", "end"]);
    }
}
