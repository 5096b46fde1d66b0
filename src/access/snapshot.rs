//! All that tells who somebody is, in memory: built from the catalog whenever that changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::roles::permissions_of;
use super::tokens::SigningKeys;
use super::{Permissions, Principal, PrincipalKind, Rejection};
use crate::catalog::AccessRows;
use crate::config::Vault;

/// Nanoseconds between two notes of one session's or key's use.
const NOTE_EVERY: i64 = 30_000_000_000;

/// Somebody who is known while `expires` lies ahead.
#[derive(Debug)]
pub(super) struct Live {
    principal: Principal,
    expires: i64,
    /// When its use was noted last.
    noted: AtomicI64,
}

impl Live {
    /// Who this is, and whether this use is worth a note.
    pub(super) fn at(&self, now: i64) -> std::result::Result<(Principal, bool), Rejection> {
        if now >= self.expires {
            return Err(Rejection::Expired);
        }
        let noted = self.noted.load(Ordering::Relaxed);
        let note = now.saturating_sub(noted) >= NOTE_EVERY;
        if note {
            self.noted.store(now, Ordering::Relaxed);
        }
        Ok((self.principal.clone(), note))
    }
}

/// The catalog's rows as of one epoch.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) epoch: i64,
    pub(super) keys: SigningKeys,
    /// Id and time of the newest signing key in the catalog, whether it could be opened or not.
    pub(super) newest_key: Option<i64>,
    sessions: HashMap<String, Live>,
    /// By the hash of the secret.
    api_keys: HashMap<[u8; 32], Live>,
}

impl Snapshot {
    pub(super) fn new(vault: &Vault, rows: AccessRows) -> Snapshot {
        let active = rows.users.iter().filter(|user| user.is_active);
        let users: HashMap<i64, (&str, &str, Arc<Permissions>)> = active
            .map(|user| {
                // Whose role is gone may do nothing.
                let permissions = permissions_of(&user.role, &rows.roles).unwrap_or_default();
                (user.id, (user.username.as_str(), user.role.as_str(), Arc::new(permissions)))
            })
            .collect();
        let sessions = rows.sessions.iter().filter_map(|session| {
            let (name, role, permissions) = users.get(&session.user_id)?;
            let principal = Principal {
                kind: PrincipalKind::Session(session.id.clone()),
                user_id: Some(session.user_id),
                name: (*name).to_owned(),
                role: (*role).to_owned(),
                permissions: permissions.clone(),
            };
            let noted = AtomicI64::new(session.last_seen);
            Some((session.id.clone(), Live { principal, expires: session.expires, noted }))
        });
        let api_keys = rows.api_keys.iter().filter_map(|key| {
            let own = permissions_of(&key.role, &rows.roles).unwrap_or_default();
            // Never more than who made it, as they are now.
            let permissions = match key.user_id {
                Some(user) => own.intersect(&users.get(&user)?.2),
                None => own,
            };
            let principal = Principal {
                kind: PrincipalKind::ApiKey(key.id),
                user_id: key.user_id,
                name: key.name.clone(),
                role: key.role.clone(),
                permissions: Arc::new(permissions),
            };
            let noted = AtomicI64::new(key.last_used.unwrap_or(i64::MIN));
            Some((key.hash, Live { principal, expires: key.expires.unwrap_or(i64::MAX), noted }))
        });
        Snapshot {
            epoch: rows.epoch,
            newest_key: rows.signing_keys.last().map(|key| key.id),
            sessions: sessions.collect(),
            api_keys: api_keys.collect(),
            keys: SigningKeys::open(vault, &rows.signing_keys),
        }
    }

    pub(super) fn session(&self, id: &str) -> std::result::Result<&Live, Rejection> {
        self.sessions.get(id).ok_or(Rejection::Ended)
    }

    pub(super) fn api_key(&self, hash: &[u8; 32]) -> std::result::Result<&Live, Rejection> {
        self.api_keys.get(hash).ok_or(Rejection::Invalid)
    }

    /// The same, by id: for tickets.
    pub(super) fn api_key_by_id(&self, id: i64) -> std::result::Result<&Live, Rejection> {
        let is_it = |live: &&Live| live.principal.kind == PrincipalKind::ApiKey(id);
        self.api_keys.values().find(is_it).ok_or(Rejection::Ended)
    }
}
