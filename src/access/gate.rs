//! Who is this: answered from memory, as fast as a token can be verified.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use super::accounts::Accounts;
use super::api_keys::PREFIX;
use super::clock::{Clock, nanoseconds, seconds_until};
use super::lockout::{Lockout, one_address};
use super::snapshot::Snapshot;
use super::tickets::Tickets;
use super::tokens::{RefreshTokens, context};
use super::{AccessError, Credential, Principal, PrincipalKind, Result, secret};
use crate::catalog::Catalog;
use crate::config::Vault;

/// Nanoseconds after which another process's changes are looked for.
const LOOK_EVERY: i64 = 1_000_000_000;
/// Locks that keep the sign-ins of one name in a row.
const NAMES: usize = 64;

/// What can be set about access.
#[derive(Debug, Clone)]
pub struct AccessOptions {
    /// How long an access token is good.
    pub access_ttl: Duration,
    /// How long a session lives without a refresh.
    pub refresh_ttl: Duration,
    /// Wrong passwords in a row that lock a user; 0 never.
    pub lock_after: u32,
    /// How long a lock lasts.
    pub lock_for: Duration,
    /// Wrong passwords from one address within `lock_for` that lock it; 0 never.
    pub address_fail_limit: u32,
    /// Sessions of one user; the one unused for longest ends when another begins.
    pub sessions_per_user: u32,
    /// How long a key signs access tokens before the next one does.
    pub rotate_after: Duration,
    /// Tells the time.
    pub clock: Clock,
}

impl Default for AccessOptions {
    fn default() -> Self {
        AccessOptions {
            access_ttl: Duration::from_secs(15 * 60),
            refresh_ttl: Duration::from_secs(30 * 24 * 3600),
            lock_after: 5,
            lock_for: Duration::from_secs(15 * 60),
            address_fail_limit: 20,
            sessions_per_user: 100,
            rotate_after: Duration::from_secs(30 * 24 * 3600),
            clock: Clock::system(),
        }
    }
}

/// Tells who somebody is. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    pub(super) inner: Arc<Inner>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({})", self.inner.accounts.state().display())
    }
}

pub(super) struct Inner {
    accounts: Accounts,
    vault: Arc<Vault>,
    pub(super) options: AccessOptions,
    pub(super) refresh: RefreshTokens,
    tickets: Tickets,
    snapshot: RwLock<Arc<Snapshot>>,
    /// Held while the snapshot is built.
    building: Mutex<()>,
    /// Commits of this process when the epoch was looked at, and when that was.
    looked: (AtomicU64, AtomicI64),
    /// Uses that the catalog does not know yet.
    uses: Mutex<Uses>,
    /// Sign-ins of one name come one after the other, so that a lock cannot be overtaken.
    names: [Mutex<()>; NAMES],
    /// Wrong passwords of names that nobody has.
    unknown: Mutex<Lockout<[u8; 32]>>,
    addresses: Mutex<Lockout<IpAddr>>,
}

#[derive(Default)]
struct Uses {
    sessions: HashMap<String, (i64, String)>,
    api_keys: HashMap<i64, i64>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Access {
    /// Access to what this catalog's users may do.
    ///
    /// # Errors
    /// The catalog or the vault fails.
    pub fn open(catalog: Catalog, state: &Path, vault: Arc<Vault>, options: AccessOptions) -> Result<Access> {
        let accounts = Accounts::with_clock(catalog, state, options.clock.clone())?;
        let (commits, now) = (accounts.catalog().changes(), accounts.now());
        let snapshot = Snapshot::new(&vault, accounts.catalog().access_rows()?);
        let lock_for = nanoseconds(options.lock_for);
        let inner = Inner {
            refresh: RefreshTokens::new(&vault)?,
            tickets: Tickets::default(),
            snapshot: RwLock::new(Arc::new(snapshot)),
            building: Mutex::default(),
            looked: (AtomicU64::new(commits), AtomicI64::new(now)),
            uses: Mutex::default(),
            names: [const { Mutex::new(()) }; NAMES],
            unknown: Mutex::new(Lockout::new(options.lock_after, lock_for, None)),
            addresses: Mutex::new(Lockout::new(options.address_fail_limit, lock_for, Some(lock_for))),
            accounts,
            vault,
            options,
        };
        let access = Access { inner: Arc::new(inner) };
        access.keep_signing_key()?;
        Ok(access)
    }

    /// Users, roles, the audit log.
    pub fn accounts(&self) -> &Accounts {
        &self.inner.accounts
    }

    /// Who this is. Verifies one token, and reads the catalog only where that changed.
    ///
    /// # Errors
    /// [`AccessError::Unauthenticated`]; a catalog that fails when it has to be read.
    pub fn authenticate(&self, credential: &Credential<'_>, address: IpAddr) -> Result<Principal> {
        let snapshot = self.current()?;
        let now = self.now();
        match credential {
            Credential::Bearer(token) if !token.starts_with(PREFIX) => {
                let claims = snapshot.keys.verify(token, now.div_euclid(1_000_000_000))?;
                self.noted(snapshot.session(&claims.sid)?.at(now)?, now, address)
            }
            Credential::Bearer(key) | Credential::ApiKey(key) => {
                self.noted(snapshot.api_key(&secret::hash(key))?.at(now)?, now, address)
            }
        }
    }

    fn noted(&self, (principal, note): (Principal, bool), now: i64, address: IpAddr) -> Result<Principal> {
        if note {
            let mut uses = locked(&self.inner.uses);
            match &principal.kind {
                PrincipalKind::Session(id) => {
                    uses.sessions.insert(id.clone(), (now, address.to_canonical().to_string()));
                }
                PrincipalKind::ApiKey(id) => {
                    uses.api_keys.insert(*id, now);
                }
                PrincipalKind::Local => {}
            }
        }
        Ok(principal)
    }

    /// A ticket for one request of whoever this is, good for 30 s.
    ///
    /// # Errors
    /// No random numbers.
    pub fn issue_ticket(&self, principal: &Principal) -> Result<String> {
        self.inner.tickets.issue(principal.kind.clone(), self.now())
    }

    /// Whose ticket this is; it is used up.
    ///
    /// # Errors
    /// [`AccessError::Unauthenticated`]: not one of ours, used, over, or its owner's session or key has ended.
    pub fn redeem_ticket(&self, ticket: &str) -> Result<Principal> {
        let now = self.now();
        let kind = self.inner.tickets.redeem(ticket, now)?;
        let snapshot = self.current()?;
        match kind {
            PrincipalKind::Session(id) => Ok(snapshot.session(&id)?.at(now)?.0),
            PrincipalKind::ApiKey(id) => Ok(snapshot.api_key_by_id(id)?.at(now)?.0),
            PrincipalKind::Local => Ok(Principal::local()),
        }
    }

    /// Whether whoever this was is still known: a stream that stays open asks now and then.
    ///
    /// # Errors
    /// As [`Access::authenticate`].
    pub fn still(&self, principal: &Principal) -> Result<Principal> {
        let (snapshot, now) = (self.current()?, self.now());
        match &principal.kind {
            PrincipalKind::Session(id) => Ok(snapshot.session(id)?.at(now)?.0),
            PrincipalKind::ApiKey(id) => Ok(snapshot.api_key_by_id(*id)?.at(now)?.0),
            PrincipalKind::Local => Ok(Principal::local()),
        }
    }

    /// To be called every minute or so: writes when sessions and keys were used, removes what is over, changes the signing key
    /// in time.
    ///
    /// # Errors
    /// The catalog fails; the next call tries again.
    pub fn tend(&self) -> Result<()> {
        let now = self.now();
        let uses = std::mem::take(&mut *locked(&self.inner.uses));
        let sessions: Vec<_> =
            uses.sessions.into_iter().map(|(id, (time, address))| (id, time, address)).collect();
        let api_keys: Vec<_> = uses.api_keys.into_iter().collect();
        let catalog = self.accounts().catalog();
        catalog.note_use(&sessions, &api_keys)?;
        catalog.remove_expired_sessions(now)?;
        locked(&self.inner.addresses).tend(now);
        self.keep_signing_key()
    }

    /// Signs with a new key from now on; tokens of the one before stay good for their time.
    ///
    /// # Errors
    /// The catalog or the vault fails.
    pub fn rotate_signing_key(&self) -> Result<()> {
        self.add_signing_key(self.current()?.newest_key)
    }

    fn keep_signing_key(&self) -> Result<()> {
        let snapshot = self.current()?;
        let too_old =
            |created: i64| self.now().saturating_sub(created) >= nanoseconds(self.inner.options.rotate_after);
        if snapshot.keys.newest_created().is_none_or(too_old) {
            self.add_signing_key(snapshot.newest_key)?;
        }
        Ok(())
    }

    fn add_signing_key(&self, newest: Option<i64>) -> Result<()> {
        let key = secret::random::<32>()?;
        let now = self.now();
        let old = now.saturating_sub(nanoseconds(self.inner.options.access_ttl));
        let seal = |id| self.inner.vault.seal(&context(id), key.as_ref());
        self.accounts().catalog().add_signing_key(newest, now, old, seal)??;
        Ok(())
    }

    pub(super) fn now(&self) -> i64 {
        self.accounts().now()
    }

    /// What tells who somebody is, as it is now.
    pub(super) fn current(&self) -> Result<Arc<Snapshot>> {
        let catalog = self.accounts().catalog();
        let (commits, now) = (catalog.changes(), self.now());
        let (seen, at) = &self.inner.looked;
        let since = now.saturating_sub(at.load(Ordering::Acquire));
        let held = || self.inner.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone();
        if seen.load(Ordering::Acquire) == commits && (0..LOOK_EVERY).contains(&since) {
            return Ok(held());
        }
        if catalog.access_epoch()? != held().epoch {
            let _building = locked(&self.inner.building);
            // Whoever had the lock before may have read what is wanted.
            if catalog.access_epoch()? != held().epoch {
                let built = Arc::new(Snapshot::new(&self.inner.vault, catalog.access_rows()?));
                *self.inner.snapshot.write().unwrap_or_else(PoisonError::into_inner) = built;
            }
        }
        seen.store(commits, Ordering::Release);
        at.store(now, Ordering::Release);
        Ok(held())
    }

    /// The sign-ins of one name, one after the other.
    pub(super) fn in_a_row(&self, key: &[u8; 32]) -> MutexGuard<'_, ()> {
        let [first, ..] = *key;
        let [zeroth, ..] = &self.inner.names;
        locked(self.inner.names.get(usize::from(first) % NAMES).unwrap_or(zeroth))
    }

    pub(super) fn refuse_locked_address(&self, address: IpAddr) -> Result<()> {
        let now = self.now();
        match locked(&self.inner.addresses).locked_until(&one_address(address), now) {
            Some(until) => Err(AccessError::Locked { retry_after: seconds_until(now, until) }),
            None => Ok(()),
        }
    }

    /// Counts a failure of an address; returns whether it began a lock.
    pub(super) fn address_failed(&self, address: IpAddr) -> bool {
        locked(&self.inner.addresses).failed(&one_address(address), self.now())
    }

    /// Wrong passwords of names that nobody has.
    pub(super) fn unknown_names(&self) -> MutexGuard<'_, Lockout<[u8; 32]>> {
        locked(&self.inner.unknown)
    }

    /// When and where a session was used, where the catalog does not know yet.
    pub(super) fn unwritten_session_use(&self, id: &str) -> Option<(i64, String)> {
        locked(&self.inner.uses).sessions.get(id).cloned()
    }

    /// When a key was used, where the catalog does not know yet.
    pub(super) fn unwritten_key_use(&self, id: i64) -> Option<i64> {
        locked(&self.inner.uses).api_keys.get(&id).copied()
    }
}

/// The id of the session that a principal signed in to.
pub(super) fn session_of(principal: &Principal) -> Result<&str> {
    let none = || AccessError::Forbidden(format!("{} has no session that could be ended", principal.name));
    principal.session().ok_or_else(none)
}
