//! The way back: a thread that owns the drive reads ahead, as far as it was told that records will be wanted.

use std::io;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, select_biased, unbounded};

use crate::drive::{BlockAddress, Drive, DriveError, ReadOutcome};
use crate::format::v1::archive_layout::RecordSource;

enum Command {
    /// Go to `block`, and read ahead from there up to `allowed`, exclusively.
    Seek {
        block: u64,
        turn: u64,
        allowed: u64,
    },
    /// Read ahead up to this block, exclusively.
    Allow(u64),
    /// Read one record beyond what is allowed.
    More,
    Stop,
}

/// What the reading thread found.
enum Found {
    Record(Vec<u8>),
    /// A filemark or the end of data.
    End,
    Failed(DriveError),
}

/// Reads records of one volume in the background.
pub struct Prefetch {
    commands: Sender<Command>,
    records: Receiver<(u64, Found)>,
    spare: Sender<Vec<u8>>,
    thread: Option<JoinHandle<Drive>>,
    /// Counts seeks: records of an earlier turn are not wanted any more.
    turn: u64,
    /// Next block that the consumer will get, and the first one not allowed yet.
    next: u64,
    allowed: u64,
    /// What the thread knows of it.
    told: u64,
    name: String,
}

impl Prefetch {
    /// Takes the drive; `ahead` records wait at most. `record_size` is the longest record expected.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(drive: Drive, record_size: usize, ahead: usize) -> io::Result<Prefetch> {
        let (commands, commands_out) = unbounded();
        let (records_in, records) = bounded(ahead.max(1));
        let (spare, spare_out) = bounded(ahead.max(1) + 4);
        let name = drive.name().to_owned();
        let thread = std::thread::Builder::new().name("tape".into()).spawn(move || {
            let mut reader = Reader { drive, turn: 0, position: 0, allowed: 0, extra: 0, halted: true };
            reader.run(&commands_out, &records_in, &spare_out, record_size);
            reader.drive
        })?;
        Ok(Prefetch {
            commands,
            records,
            spare,
            thread: Some(thread),
            turn: 0,
            next: 0,
            allowed: 0,
            told: 0,
            name,
        })
    }

    /// Records before `block` will be wanted.
    pub fn allow(&mut self, block: u64) {
        // Told with the next seek: where the tape stands now, what follows may not be wanted.
        self.allowed = self.allowed.max(block);
    }

    /// What was allowed before is not wanted any more: the next place may lie before it.
    pub fn forget(&mut self) {
        self.allowed = 0;
    }

    /// Gives the drive back.
    ///
    /// # Errors
    /// The reading thread died, and the drive with it.
    pub fn into_drive(mut self) -> io::Result<Drive> {
        let _ = self.commands.send(Command::Stop);
        let thread =
            self.thread.take().ok_or_else(|| io::Error::other("the drive was given back already"))?;
        while self.records.recv().is_ok() {}
        thread.join().map_err(|_| io::Error::other(format!("{}: the reading thread died", self.name)))
    }
}

impl RecordSource for &mut Prefetch {
    fn seek(&mut self, block: u64) -> io::Result<()> {
        self.turn += 1;
        self.next = block;
        let turn = self.turn;
        let allowed = self.allowed;
        self.told = allowed;
        self.commands.send(Command::Seek { block, turn, allowed }).map_err(|_| gone(&self.name))
    }

    fn next_record(&mut self, record: &mut Vec<u8>) -> io::Result<bool> {
        if self.next >= self.told {
            let more = if self.next < self.allowed { Command::Allow(self.allowed) } else { Command::More };
            self.told = self.allowed;
            self.commands.send(more).map_err(|_| gone(&self.name))?;
        }
        loop {
            let (turn, found) = self.records.recv().map_err(|_| gone(&self.name))?;
            if turn != self.turn {
                continue;
            }
            self.next += 1;
            return match found {
                Found::Record(read) => {
                    let used = std::mem::replace(record, read);
                    let _ = self.spare.try_send(used);
                    Ok(true)
                }
                Found::End => Ok(false),
                Found::Failed(error) => Err(io::Error::other(error)),
            };
        }
    }
}

fn gone(name: &str) -> io::Error {
    io::Error::other(format!("{name}: the reading thread ended"))
}

/// The thread's side.
struct Reader {
    drive: Drive,
    turn: u64,
    position: u64,
    allowed: u64,
    /// Records asked for beyond what is allowed.
    extra: u64,
    /// Nothing more to read until the next seek.
    halted: bool,
}

impl Reader {
    fn run(
        &mut self,
        commands: &Receiver<Command>,
        records: &Sender<(u64, Found)>,
        spare: &Receiver<Vec<u8>>,
        record_size: usize,
    ) {
        let mut found: Option<Found> = None;
        loop {
            if found.is_none() && self.halted && self.extra > 0 {
                self.extra -= 1;
                found = Some(Found::End);
            }
            let wanted = !self.halted && (self.position < self.allowed || self.extra > 0);
            if found.is_none() && wanted {
                found = Some(self.read(spare.try_recv().unwrap_or_default(), record_size));
            }
            let command = match found.take() {
                // Delivering waits for the consumer; a command may overtake it.
                Some(ready) => select_biased! {
                    recv(commands) -> command => {
                        found = Some(ready);
                        command
                    }
                    send(records, (self.turn, ready)) -> sent => {
                        if sent.is_err() { return }
                        continue;
                    }
                },
                None => commands.recv(),
            };
            match command {
                Err(_) | Ok(Command::Stop) => return,
                Ok(Command::Allow(block)) => self.allowed = self.allowed.max(block),
                Ok(Command::More) => self.extra += 1,
                Ok(Command::Seek { block, turn, allowed }) => {
                    self.turn = turn;
                    self.allowed = allowed;
                    self.extra = 0;
                    self.position = block;
                    let sought = self.drive.locate(BlockAddress(block));
                    self.halted = sought.is_err();
                    found = sought.err().map(Found::Failed);
                }
            }
        }
    }

    fn read(&mut self, mut buffer: Vec<u8>, record_size: usize) -> Found {
        // Room for the protection bytes that the drive layer checks and takes off.
        buffer.resize(record_size + 4, 0);
        self.extra = self.extra.saturating_sub(u64::from(self.position >= self.allowed));
        self.position += 1;
        match self.drive.read(&mut buffer) {
            Ok(ReadOutcome::Record(length)) => {
                buffer.truncate(length);
                Found::Record(buffer)
            }
            Ok(ReadOutcome::Filemark | ReadOutcome::EndOfData) => {
                self.halted = true;
                Found::End
            }
            Err(error) => {
                self.halted = true;
                Found::Failed(error)
            }
        }
    }
}
