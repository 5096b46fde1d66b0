//! One-time tickets: event streams that cannot send headers carry one in the URL instead of a token.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{PrincipalKind, Rejection, Result, secret};

/// Nanoseconds that a ticket is good for.
const GOOD_FOR: i64 = 30_000_000_000;
/// Tickets that wait at once; beyond that the one that ends first is given up.
const MOST: usize = 4096;

/// Tickets that were handed out and not used.
#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<HashMap<[u8; 32], (PrincipalKind, i64)>>);

impl Tickets {
    pub(super) fn issue(&self, kind: PrincipalKind, now: i64) -> Result<String> {
        let ticket = secret::to_text(&*secret::random::<32>()?);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, (_, until)| now < *until);
        if waiting.len() >= MOST {
            let first = waiting.iter().min_by_key(|(_, (_, until))| *until).map(|(hash, _)| *hash);
            first.map(|hash| waiting.remove(&hash));
        }
        waiting.insert(secret::hash(&ticket), (kind, now.saturating_add(GOOD_FOR)));
        Ok(ticket)
    }

    pub(super) fn redeem(&self, ticket: &str, now: i64) -> std::result::Result<PrincipalKind, Rejection> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (kind, until) = waiting.remove(&secret::hash(ticket)).ok_or(Rejection::Invalid)?;
        if now < until { Ok(kind) } else { Err(Rejection::Expired) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_and_not_for_long() {
        let tickets = Tickets::default();
        let ticket = tickets.issue(PrincipalKind::ApiKey(7), 0).unwrap();
        assert_eq!(ticket.len(), 43);
        assert_eq!(tickets.redeem("x", 0), Err(Rejection::Invalid));
        assert_eq!(tickets.redeem(&ticket, GOOD_FOR - 1), Ok(PrincipalKind::ApiKey(7)));
        assert_eq!(tickets.redeem(&ticket, 0), Err(Rejection::Invalid));
        let late = tickets.issue(PrincipalKind::Local, 0).unwrap();
        assert_eq!(tickets.redeem(&late, GOOD_FOR), Err(Rejection::Expired));
        for at in 0..MOST as i64 + 5 {
            tickets.issue(PrincipalKind::Local, at).unwrap();
        }
        assert_eq!(tickets.0.lock().unwrap().len(), MOST);
    }
}
