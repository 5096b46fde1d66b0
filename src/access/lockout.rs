//! Wrong passwords of addresses and of names that no user has. Those of users are counted in the catalog.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

/// Entries kept; beyond that the one that is longest ago is forgotten.
const MOST: usize = 8192;

#[derive(Debug, Clone, Copy, Default)]
struct Failures {
    count: u32,
    last: i64,
    locked_until: i64,
}

/// Counts failures for each key, and locks those with too many. Times are nanoseconds since the epoch.
#[derive(Debug)]
pub(super) struct Lockout<K> {
    entries: HashMap<K, Failures>,
    /// Failures until a lock; 0 never locks.
    limit: u32,
    /// How long a lock lasts.
    lock_for: i64,
    /// Failures count for so long; without it until a success.
    window: Option<i64>,
}

impl<K: Eq + Hash + Clone> Lockout<K> {
    pub(super) fn new(limit: u32, lock_for: i64, window: Option<i64>) -> Lockout<K> {
        Lockout { entries: HashMap::new(), limit, lock_for, window }
    }

    /// When the key's lock ends, where it is locked.
    pub(super) fn locked_until(&self, key: &K, now: i64) -> Option<i64> {
        self.entries.get(key).map(|entry| entry.locked_until).filter(|until| now < *until)
    }

    /// Counts a failure; returns whether it began a lock.
    pub(super) fn failed(&mut self, key: &K, now: i64) -> bool {
        if self.limit == 0 {
            return false;
        }
        if !self.entries.contains_key(key) && self.entries.len() >= MOST {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.last).map(|(key, _)| key.clone());
            oldest.map(|key| self.entries.remove(&key));
        }
        let entry = self.entries.entry(key.clone()).or_default();
        if self.window.is_some_and(|window| now.saturating_sub(entry.last) >= window) {
            entry.count = 0;
        }
        entry.count += 1;
        entry.last = now;
        if entry.count < self.limit {
            return false;
        }
        entry.count = 0;
        entry.locked_until = now.saturating_add(self.lock_for);
        true
    }

    /// Forgets what is over.
    pub(super) fn tend(&mut self, now: i64) {
        let Some(window) = self.window else { return };
        self.entries.retain(|_, entry| now < entry.locked_until || now.saturating_sub(entry.last) < window);
    }
}

/// What counts as one address: IPv4 written as IPv6 is IPv4, and one network of IPv6 is one subscriber.
pub(super) fn one_address(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_begin_and_end() {
        let mut lockout = Lockout::new(3, 100, Some(50));
        assert!(!lockout.failed(&1, 0) && !lockout.failed(&1, 10));
        assert_eq!(lockout.locked_until(&1, 10), None);
        assert!(lockout.failed(&1, 20));
        assert_eq!(lockout.locked_until(&1, 119), Some(120));
        assert_eq!(lockout.locked_until(&1, 120), None);
        assert_eq!(lockout.locked_until(&2, 20), None);
        // Failures far apart do not add up.
        assert!(!lockout.failed(&2, 0) && !lockout.failed(&2, 60) && !lockout.failed(&2, 120));
        lockout.tend(500);
        assert!(lockout.entries.is_empty());
        // Without a window they do.
        let mut lockout = Lockout::new(2, 100, None);
        assert!(!lockout.failed(&1, 0) && lockout.failed(&1, 1_000_000));
        let mut off = Lockout::new(0, 100, None);
        assert!((0..100).all(|at| !off.failed(&1, at)));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut lockout = Lockout::new(3, 100, None);
        for key in 0..MOST as i64 + 10 {
            lockout.failed(&key, key);
        }
        assert_eq!(lockout.entries.len(), MOST);
        assert!(!lockout.entries.contains_key(&0) && lockout.entries.contains_key(&(MOST as i64)));
    }

    #[test]
    fn addresses_of_one_subscriber_are_one() {
        let one = |text: &str| one_address(text.parse().unwrap());
        assert_eq!(one("::ffff:10.1.2.3"), one("10.1.2.3"));
        assert_eq!(one("2001:db8:1:2::1"), one("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(one("2001:db8:1:2::1"), one("2001:db8:1:3::1"));
    }
}
