//! How often somebody may ask, and how much may run at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::clock::Clock;
use super::lockout::one_address;
use super::{Principal, PrincipalKind};

/// Nanoseconds of a window.
const WINDOW: i64 = 60_000_000_000;
/// Windows kept; beyond that the one that began first is forgotten.
const MOST: usize = 16_384;

/// What kind of request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Signing in and what belongs to it.
    Auth,
    /// Looking.
    Read,
    /// Changing.
    Write,
}

/// Requests in a minute; 0 sets no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings {
    /// Of [`Class::Auth`].
    pub auth: u32,
    /// Of [`Class::Read`].
    pub read: u32,
    /// Of [`Class::Write`].
    pub write: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        LimitSettings { auth: 10, read: 100, write: 30 }
    }
}

/// Whether a request may go on, and what its reply says about the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may.
    pub allowed: bool,
    /// Requests in a minute; 0: no limit, and nothing to tell.
    pub limit: u32,
    /// Requests left.
    pub remaining: u32,
    /// When all are there again, seconds since the epoch.
    pub reset_unix: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    User(i64),
    ApiKey(i64),
    Address(IpAddr),
}

/// When each window began, and the requests in it.
type Windows = HashMap<(Who, Class), (i64, u32)>;

/// Counts requests: of a user, of an API key, else of an address. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RateLimits {
    settings: LimitSettings,
    clock: Clock,
    windows: Arc<Mutex<Windows>>,
}

impl RateLimits {
    /// With these limits.
    pub fn new(settings: LimitSettings, clock: Clock) -> RateLimits {
        RateLimits { settings, clock, windows: Arc::default() }
    }

    /// Counts a request. Sign-in is counted by address; the local socket is never limited.
    pub fn check(&self, class: Class, principal: Option<&Principal>, address: IpAddr) -> Decision {
        let limit = match class {
            Class::Auth => self.settings.auth,
            Class::Read => self.settings.read,
            Class::Write => self.settings.write,
        };
        let who = match principal.filter(|_| class != Class::Auth) {
            Some(Principal { kind: PrincipalKind::ApiKey(id), .. }) => Who::ApiKey(*id),
            Some(Principal { kind: PrincipalKind::Session(_), user_id: Some(id), .. }) => Who::User(*id),
            _ => Who::Address(one_address(address)),
        };
        let now = self.clock.now();
        let is_local = principal.is_some_and(|principal| principal.kind == PrincipalKind::Local);
        if limit == 0 || is_local {
            return Decision { allowed: true, limit: 0, remaining: 0, reset_unix: seconds(now) };
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (who, class);
        if !windows.contains_key(&key) && windows.len() >= MOST {
            windows.retain(|_, (began, _)| now.saturating_sub(*began) < WINDOW);
            if windows.len() >= MOST {
                let first = windows.iter().min_by_key(|(_, (began, _))| *began).map(|(key, _)| key.clone());
                first.map(|key| windows.remove(&key));
            }
        }
        let (began, count) = windows.entry(key).or_insert((now, 0));
        if !(0..WINDOW).contains(&now.saturating_sub(*began)) {
            (*began, *count) = (now, 0);
        }
        let allowed = *count < limit;
        *count += u32::from(allowed);
        let reset_unix = seconds(began.saturating_add(WINDOW).saturating_add(999_999_999));
        Decision { allowed, limit, remaining: limit - *count, reset_unix }
    }
}

fn seconds(nanoseconds: i64) -> i64 {
    nanoseconds.div_euclid(1_000_000_000)
}

/// Long operations that run at once. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LongOperations {
    running: Arc<AtomicUsize>,
    most: usize,
}

impl LongOperations {
    /// At most so many; the document says 5. 0 sets no limit.
    pub fn new(most: usize) -> LongOperations {
        LongOperations { running: Arc::default(), most }
    }

    /// Begins one, where there is room; it ends when the guard is dropped.
    pub fn enter(&self) -> Option<LongOperation> {
        let enter = |running| (self.most == 0 || running < self.most).then_some(running + 1);
        self.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).ok()?;
        Some(LongOperation(self.running.clone()))
    }
}

/// A long operation that runs until this is dropped.
#[derive(Debug)]
pub struct LongOperation(Arc<AtomicUsize>);

impl Drop for LongOperation {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn requests_of_a_minute_are_counted() {
        let clock = Clock::manual(1_000_000_000_000);
        let limits = RateLimits::new(LimitSettings { auth: 2, read: 3, write: 0 }, clock.clone());
        let check = |class, last| limits.check(class, None, address(last));
        for left in [1, 0] {
            let decision = check(Class::Auth, 1);
            assert_eq!(decision, Decision { allowed: true, limit: 2, remaining: left, reset_unix: 1060 });
        }
        clock.advance(Duration::from_secs(59));
        assert_eq!(
            check(Class::Auth, 1),
            Decision { allowed: false, limit: 2, remaining: 0, reset_unix: 1060 }
        );
        assert!(check(Class::Auth, 2).allowed && check(Class::Read, 1).allowed);
        assert!((0..500).all(|_| check(Class::Write, 1).allowed), "no limit");
        clock.advance(Duration::from_secs(1));
        assert!(check(Class::Auth, 1).allowed);
    }

    #[test]
    fn users_and_keys_are_counted_apart_from_their_address() {
        let limits = RateLimits::new(LimitSettings { auth: 1, read: 1, write: 1 }, Clock::manual(0));
        let as_kind = |kind, user_id| Principal { kind, user_id, ..Principal::local() };
        let first = as_kind(PrincipalKind::Session("a".into()), Some(1));
        let second = as_kind(PrincipalKind::Session("b".into()), Some(1));
        let key = as_kind(PrincipalKind::ApiKey(1), Some(1));
        let check = |class, principal: &Principal| limits.check(class, Some(principal), address(1)).allowed;
        assert!(check(Class::Read, &first) && !check(Class::Read, &second), "one user, two sessions");
        assert!(check(Class::Read, &key) && !check(Class::Read, &key));
        assert!(limits.check(Class::Read, None, address(1)).allowed);
        assert!(check(Class::Auth, &first) && !check(Class::Auth, &key), "by address");
        assert!((0..9).all(|_| check(Class::Auth, &Principal::local())));
    }

    #[test]
    fn the_memory_is_bounded() {
        let limits = RateLimits::new(LimitSettings::default(), Clock::manual(0));
        for at in 0..MOST as u32 + 100 {
            limits.check(Class::Read, None, IpAddr::from(at.to_be_bytes()));
        }
        assert_eq!(limits.windows.lock().unwrap().len(), MOST);
    }

    #[test]
    fn few_long_operations_run_at_once() {
        let operations = LongOperations::new(2);
        let first = operations.enter().unwrap();
        let _second = operations.clone().enter().unwrap();
        assert!(operations.enter().is_none());
        drop(first);
        assert!(operations.enter().is_some());
        let free = LongOperations::new(0);
        assert_eq!((0..9).filter_map(|_| free.enter()).collect::<Vec<_>>().len(), 9);
    }
}
