//! The speed model: how long a drive takes and how far the tape travels, on a clock that tests may simulate.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::scsi::generation::Generation;

/// Tells and passes time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Time since some fixed moment.
    fn now(&self) -> Duration;
    /// Lets time pass.
    fn sleep(&self, duration: Duration);
}

/// The machine's clock; sleeping really sleeps.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A clock that moves only when somebody sleeps.
#[derive(Debug, Default)]
pub struct SimulatedClock(Mutex<Duration>);

impl Clock for SimulatedClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep(&self, duration: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += duration;
    }
}

/// How fast a drive is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpeedModel {
    /// Bytes a second at the head.
    pub rate: u64,
    /// Bytes the drive buffers: a host that pauses for longer than these last stops the tape.
    pub buffer: u64,
    /// Time to stop, go back and come up to speed again.
    pub stop_and_go: Duration,
    /// Tape speed while locating and rewinding, in metres a second.
    pub locate_speed: f64,
    /// Time for the head to go to another wrap.
    pub wrap_change: Duration,
    /// Time to thread a cartridge.
    pub load: Duration,
    /// Time to unthread a cartridge, after rewinding.
    pub unload: Duration,
}

impl SpeedModel {
    /// A full-height drive of that generation.
    pub fn of(generation: Generation) -> SpeedModel {
        SpeedModel {
            rate: generation.rate(),
            buffer: 1 << 30,
            stop_and_go: Duration::from_secs(3),
            locate_speed: 10.0,
            wrap_change: Duration::from_secs(2),
            load: Duration::from_secs(15),
            unload: Duration::from_secs(20),
        }
    }
}

/// Metres of tape between the turning points.
const LENGTH: f64 = 1000.0;

/// The tape's motion in one drive.
#[derive(Debug)]
pub(super) struct Motion {
    generation: Generation,
    model: Option<SpeedModel>,
    clock: Arc<dyn Clock>,
    wrap_bytes: u64,
    /// When the drive's buffer will be empty, while it writes.
    streaming_until: Option<Duration>,
    /// Metres travelled.
    pub odometer: f64,
    /// Times the tape stopped because the host did not keep up.
    pub stops: u64,
}

impl Motion {
    pub fn new(generation: Generation) -> Motion {
        Motion {
            generation,
            model: None,
            clock: Arc::new(SystemClock::default()),
            wrap_bytes: generation.capacity() / generation.wraps(),
            streaming_until: None,
            odometer: 0.0,
            stops: 0,
        }
    }

    pub fn set(&mut self, model: Option<SpeedModel>, clock: Arc<dyn Clock>) {
        self.model = model;
        self.clock = clock;
        self.streaming_until = None;
    }

    /// Longitudinal place of a byte: even wraps run away from the beginning, odd wraps come back.
    fn metres(&self, byte: u64) -> f64 {
        let along = (byte % self.wrap_bytes) as f64 / self.wrap_bytes as f64 * LENGTH;
        if (byte / self.wrap_bytes).is_multiple_of(2) { along } else { LENGTH - along }
    }

    /// The tape goes from one byte to another at full speed.
    pub fn locate(&mut self, from: u64, to: u64) {
        self.drain();
        self.streaming_until = None;
        let seconds = self.locate_seconds(from, to);
        self.odometer += self.distance(from, to);
        if self.model.is_some() {
            self.clock.sleep(Duration::from_secs_f64(seconds));
        }
    }

    /// Seconds that a locate takes: a stop and a start, the change of the wrap where there is one, and the way at full speed.
    /// Nothing where the tape stands there already.
    pub fn locate_seconds(&self, from: u64, to: u64) -> f64 {
        if from == to {
            return 0.0;
        }
        let model = self.model.unwrap_or_else(|| SpeedModel::of(self.generation));
        let changes = from / self.wrap_bytes != to / self.wrap_bytes;
        let head = if changes { model.wrap_change } else { Duration::ZERO };
        (model.stop_and_go + head).as_secs_f64() + self.distance(from, to) / model.locate_speed.max(0.001)
    }

    /// Metres of tape between two bytes.
    fn distance(&self, from: u64, to: u64) -> f64 {
        (self.metres(from) - self.metres(to)).abs()
    }

    /// A cartridge that holds so many bytes is threaded: a small one is a tape of the same length and as many wraps.
    pub fn load(&mut self, capacity: u64) {
        self.wrap_bytes = (capacity / self.generation.wraps()).max(1);
        self.streaming_until = None;
        if let Some(model) = self.model {
            self.clock.sleep(model.load);
        }
    }

    /// A cartridge is unthreaded, from the beginning of the tape.
    pub fn unload(&mut self) {
        self.streaming_until = None;
        if let Some(model) = self.model {
            self.clock.sleep(model.unload);
        }
    }

    /// Bytes pass the head for reading.
    pub fn read(&mut self, bytes: u64) {
        self.pass(bytes);
        if let Some(model) = self.model {
            self.clock.sleep(Self::duration(bytes, model.rate));
        }
    }

    /// Bytes come into the buffer, which empties to the tape at its rate.
    pub fn write(&mut self, bytes: u64) {
        self.pass(bytes);
        let Some(model) = self.model else { return };
        let now = self.clock.now();
        let begin = match self.streaming_until {
            None => now,
            Some(until) if until >= now => until,
            Some(_) => {
                self.stops += 1;
                now + model.stop_and_go
            }
        };
        let until = begin + Self::duration(bytes, model.rate);
        self.streaming_until = Some(until);
        // The host waits while the buffer is full.
        let backlog = until.saturating_sub(now);
        if let Some(wait) = backlog.checked_sub(Self::duration(model.buffer, model.rate)) {
            self.clock.sleep(wait);
        }
    }

    /// Waits until the buffer is on tape; the tape then stands still.
    pub fn drain(&mut self) {
        if let (Some(_), Some(until)) = (self.model, self.streaming_until) {
            let now = self.clock.now();
            self.clock.sleep(until.saturating_sub(now));
        }
    }

    fn pass(&mut self, bytes: u64) {
        self.odometer += bytes as f64 / self.wrap_bytes as f64 * LENGTH;
    }

    fn duration(bytes: u64, rate: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn motion() -> (Motion, Arc<SimulatedClock>) {
        let clock = Arc::new(SimulatedClock::default());
        let mut motion = Motion::new(Generation::Lto9);
        let model = SpeedModel { rate: 100, buffer: 1000, ..SpeedModel::of(Generation::Lto9) };
        motion.set(Some(model), Arc::clone(&clock) as Arc<dyn Clock>);
        (motion, clock)
    }

    #[test]
    fn a_host_that_keeps_up_never_stops_the_tape() {
        let (mut motion, clock) = motion();
        for _ in 0..10 {
            motion.write(1000);
        }
        assert_eq!(clock.now(), Duration::from_secs(90), "one buffer is still in the drive");
        motion.drain();
        assert_eq!(clock.now(), Duration::from_secs(100));
        assert_eq!(motion.stops, 0);
    }

    #[test]
    fn a_pause_longer_than_the_buffer_costs_a_stop() {
        let (mut motion, clock) = motion();
        motion.write(1000);
        clock.sleep(Duration::from_secs(9));
        motion.write(100);
        assert_eq!(motion.stops, 0);
        clock.sleep(Duration::from_secs(5));
        motion.write(100);
        assert_eq!(motion.stops, 1);
        motion.drain();
        assert_eq!(clock.now(), Duration::from_secs(9 + 5 + 3 + 1));
    }

    #[test]
    fn the_way_back_is_short_where_the_wraps_lie_beside_each_other() {
        let (mut motion, clock) = motion();
        let wrap = motion.wrap_bytes;
        motion.locate(0, wrap);
        assert_eq!(clock.now(), Duration::from_secs(3 + 2 + 100));
        motion.locate(wrap, 2 * wrap);
        motion.locate(2 * wrap, 0);
        assert_eq!(clock.now(), Duration::from_secs(2 * (3 + 2 + 100) + 3 + 2));
        motion.locate(0, 0);
        motion.locate(0, wrap / 2);
        let seconds = clock.now().as_secs_f64() - f64::from(2 * (3 + 2 + 100) + 3 + 2 + 3 + 50);
        assert!(seconds.abs() < 1e-6, "{seconds}");
        assert!((motion.odometer - 2500.0).abs() < 1e-6);
    }

    /// Seconds of all locates when the places are read in the order of the shortest next way by `guess`.
    fn seconds(motion: &Motion, guess: &Motion, places: &[u64]) -> f64 {
        let mut left = places.to_vec();
        let (mut here, mut total) = (0, 0.0);
        while !left.is_empty() {
            let way = |at: &usize| guess.locate_seconds(here, left[*at]);
            let next = (0..left.len()).min_by(|a, b| way(a).total_cmp(&way(b))).unwrap();
            let place = left.swap_remove(next);
            total += motion.locate_seconds(here, place);
            here = place + 50_000_000;
        }
        total
    }

    /// Why the engine makes no order of its own: only the drive knows where its wraps end.
    #[test]
    fn a_guessed_geometry_is_no_order() {
        let motion = Motion::new(Generation::Lto9);
        let guess = |error: f64| {
            let mut guess = Motion::new(Generation::Lto9);
            guess.load((Generation::Lto9.capacity() as f64 * error) as u64);
            guess
        };
        println!("places: seconds as on tape, by true wraps, by wraps guessed 0.2 % and 1 % too long");
        for count in [10u64, 100, 1000] {
            let capacity = Generation::Lto9.capacity() / count;
            let places: Vec<u64> =
                (0..count).map(|n| n * capacity + (n * 7919 % 1009) * (capacity / 1009)).collect();
            let mut here = 0;
            let mut plain = 0.0;
            for &place in &places {
                plain += motion.locate_seconds(here, place);
                here = place + 50_000_000;
            }
            let [exact, close, rough] =
                [1.0, 1.002, 1.01].map(|error| seconds(&motion, &guess(error), &places));
            println!("{count}: {plain:.0}, {exact:.0}, {close:.0}, {rough:.0}");
            assert!(exact < plain && close > exact && rough > close);
            assert!(count < 100 || exact < plain / 2.0);
            assert!(count < 1000 || rough > plain, "a guess that is one in a hundred off is worse than none");
        }
    }
}
