//! Passwords: what one must be, and Argon2id, a few at a time.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

use super::{AccessError, Result, secret};
use crate::catalog::PasswordHash;

/// Characters of the shortest password.
pub(super) const SHORTEST: usize = 8;
/// Bytes of the longest password.
const LONGEST: usize = 1024;
/// KiB of memory for one hash.
const MEMORY: u32 = 19 * 1024;
/// Passes over it.
const PASSES: u32 = 2;
/// Hashes computed at once.
const AT_ONCE: usize = 2;
/// Callers that may wait for their turn.
const WAITING: usize = 32;

/// Refuses passwords that are no protection.
pub(super) fn check(username: &str, password: &str) -> Result<()> {
    let wrong = |reason: String| Err(AccessError::Invalid { field: "password", reason });
    if password.chars().count() < SHORTEST {
        return wrong(format!("must have at least {SHORTEST} characters"));
    }
    if password.len() > LONGEST {
        return wrong(format!("must have at most {LONGEST} bytes"));
    }
    if password.eq_ignore_ascii_case(username) {
        return wrong("must not be the user name".to_owned());
    }
    Ok(())
}

/// Hashes passwords, a few at a time: each takes 19 MiB.
#[derive(Debug)]
pub(super) struct Hasher {
    argon: Argon2<'static>,
    /// Stands for the hash of a user who does not exist.
    nobody: PasswordHash,
    turns: Mutex<Turns>,
    free: Condvar,
}

#[derive(Debug, Default)]
struct Turns {
    running: usize,
    queued: usize,
}

/// A place among those who wait; left when dropped.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a Hasher);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.turns.lock().unwrap_or_else(PoisonError::into_inner).queued -= 1;
    }
}

/// The right to compute one hash; given back when dropped.
struct Turn<'a>(&'a Hasher);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.turns.lock().unwrap_or_else(PoisonError::into_inner).running -= 1;
        self.0.free.notify_one();
    }
}

impl Hasher {
    pub(super) fn new() -> Result<Hasher> {
        let params = Params::new(MEMORY, PASSES, 1, None).map_err(|_| AccessError::Cipher)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = hash_with(&argon, &secret::to_text(&*secret::random::<16>()?))?;
        Ok(Hasher { argon, nobody, turns: Mutex::default(), free: Condvar::new() })
    }

    /// A place in the queue, before anything is looked up.
    pub(super) fn queue(&self) -> Result<Place<'_>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.queued >= WAITING {
            return Err(AccessError::Overloaded { retry_after: Duration::from_secs(1) });
        }
        turns.queued += 1;
        Ok(Place(self))
    }

    fn turn(&self) -> Turn<'_> {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let mut turns = self
            .free
            .wait_while(turns, |turns| turns.running >= AT_ONCE)
            .unwrap_or_else(PoisonError::into_inner);
        turns.running += 1;
        Turn(self)
    }

    /// The hash of a password, with a salt of its own.
    pub(super) fn hash(&self, password: &str) -> Result<PasswordHash> {
        let _turn = self.turn();
        hash_with(&self.argon, password)
    }

    /// Whether the password belongs to the hash. Without a hash no password does, and that takes as long.
    pub(super) fn verify(&self, hash: Option<&PasswordHash>, password: &str) -> bool {
        let _turn = self.turn();
        let text = &hash.unwrap_or(&self.nobody).0;
        // What no user can have is hashed short: the time must not depend on it.
        let password = if password.len() > LONGEST { "" } else { password };
        let fits = phc::PasswordHash::new(text)
            .is_ok_and(|known| self.argon.verify_password(password.as_bytes(), &known).is_ok());
        fits && hash.is_some()
    }
}

fn hash_with(argon: &Argon2<'_>, password: &str) -> Result<PasswordHash> {
    let salt = secret::random::<16>()?;
    let hash: phc::PasswordHash =
        argon.hash_password_with_salt(password.as_bytes(), salt.as_ref()).map_err(|_| AccessError::Cipher)?;
    Ok(PasswordHash(hash.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_fits_its_hash() {
        let hasher = Hasher::new().unwrap();
        let hash = hasher.hash("correct horse").unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.0);
        assert!(!format!("{hash:?}").contains("argon2"));
        assert_ne!(hash, hasher.hash("correct horse").unwrap());
        assert!(hasher.verify(Some(&hash), "correct horse"));
        for wrong in ["", "correct hors", "correct horse ", &"x".repeat(LONGEST + 1)] {
            assert!(!hasher.verify(Some(&hash), wrong), "{wrong}");
        }
        assert!(!hasher.verify(None, "correct horse"));
        assert!(!hasher.verify(Some(&PasswordHash("nonsense".into())), "nonsense"));
    }

    #[test]
    fn weak_passwords_are_refused() {
        assert!(check("admin", "securepassword").is_ok());
        assert!(check("admin", "\u{e4}\u{f6}\u{fc}\u{df}\u{e4}\u{f6}\u{fc}\u{df}").is_ok());
        let long = "x".repeat(LONGEST + 1);
        for wrong in ["", "1234567", "Administrator", &long] {
            assert!(check("administrator", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_queue_is_bounded() {
        let hasher = Hasher::new().unwrap();
        let places: Vec<_> = (0..WAITING).map(|_| hasher.queue().unwrap()).collect();
        assert!(matches!(hasher.queue(), Err(AccessError::Overloaded { .. })));
        drop(places);
        assert!(hasher.queue().is_ok());
    }

    #[test]
    fn few_hashes_are_computed_at_once() {
        let hasher = Hasher::new().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| hasher.verify(None, "x"));
            }
            for _ in 0..50 {
                assert!(hasher.turns.lock().unwrap().running <= AT_ONCE);
                std::thread::yield_now();
            }
        });
        assert_eq!(hasher.turns.lock().unwrap().running, 0);
    }
}
