//! Signing in and out, refreshing, changing the own password.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;
use zeroize::Zeroizing;

use super::audit::{Action, Outcome};
use super::clock::{nanoseconds, seconds_until};
use super::gate::{Access, session_of};
use super::password;
use super::roles::ADMIN;
use super::tokens::SESSION_ID;
use super::{AccessError, Principal, PrincipalKind, Rejection, Result, User, secret};
use crate::catalog::{CatalogError, Rotation, SessionRow, UserChangeRow, UserRow};

/// What signing in gives.
#[derive(Clone)]
pub struct SignedIn {
    /// For `Authorization: Bearer`.
    pub access_token: String,
    /// Good once, for the next access token.
    pub refresh_token: Zeroizing<String>,
    /// How long the access token is good.
    pub expires_in: Duration,
    /// Who signed in.
    pub user: User,
}

impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignedIn({})", self.user.username)
    }
}

/// A session. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub user_id: i64,
    /// When it began.
    pub created: i64,
    /// When it was last used, to the minute or so.
    pub last_seen: i64,
    /// When it ends unless it is refreshed.
    pub expires: i64,
    /// Where it was last used from.
    pub address: Option<String>,
}

impl Access {
    /// Signs in. Takes as long for a name that nobody has, and locks it in the same way.
    ///
    /// # Errors
    /// [`AccessError::Refused`], [`AccessError::Locked`], [`AccessError::Overloaded`]; the catalog fails. Failures and locks
    /// are written to the audit log here.
    pub fn sign_in(&self, username: &str, password: &str, address: IpAddr) -> Result<SignedIn> {
        self.refuse_locked_address(address)?;
        let _place = self.accounts().hasher().queue()?;
        let key = secret::hash(&username.to_ascii_lowercase());
        let _row = self.in_a_row(&key);
        let user = self.accounts().catalog().user_by_name(username)?;
        self.refuse_locked(user.as_ref(), &key)?;
        let fits = self.accounts().hasher().verify(user.as_ref().map(|user| &user.password_hash), password);
        let signed_in = match user {
            Some(user) if fits && user.is_active => self.begin(&user, address)?,
            user => {
                self.count_failure(user.as_ref(), &key, address, "auth.login")?;
                return Err(AccessError::Refused);
            }
        };
        let who = Some((signed_in.user.id, signed_in.user.username.as_str()));
        if let Err(error) = self.record(who, "auth.login", address, Outcome::Done, json!({})) {
            // What is not written down has not happened.
            let (session, _) = self.inner.refresh.read(&signed_in.refresh_token)?;
            self.revoke_session(&session)?;
            return Err(error);
        }
        Ok(signed_in)
    }

    fn refuse_locked(&self, user: Option<&UserRow>, key: &[u8; 32]) -> Result<()> {
        let now = self.now();
        let until = match user {
            Some(user) => user.locked_until.filter(|until| now < *until),
            None => self.unknown_names().locked_until(key, now),
        };
        match until {
            Some(until) => Err(AccessError::Locked { retry_after: seconds_until(now, until) }),
            None => Ok(()),
        }
    }

    /// A wrong password, for the name and the address.
    fn count_failure(
        &self,
        user: Option<&UserRow>,
        key: &[u8; 32],
        address: IpAddr,
        action: &str,
    ) -> Result<()> {
        let (now, options) = (self.now(), &self.inner.options);
        let locks = match user {
            Some(user) => {
                let until = now.saturating_add(nanoseconds(options.lock_for));
                self.accounts().catalog().count_failure(user.id, options.lock_after, until)?
            }
            None => self.unknown_names().failed(key, now),
        };
        let locks_address = self.address_failed(address);
        // A name that nobody has may be a password in the wrong field: it is not written down.
        let who = user.map(|user| (user.id, user.username.as_str()));
        let details = json!({ "user_locked": locks, "address_locked": locks_address });
        self.record(who, action, address, Outcome::Refused, details)
    }

    fn record(
        &self,
        who: Option<(i64, &str)>,
        action: &str,
        address: IpAddr,
        outcome: Outcome,
        details: serde_json::Value,
    ) -> Result<()> {
        let id = who.map(|(id, _)| id.to_string());
        let entry = Action {
            user_id: who.map(|(id, _)| id),
            username: who.map_or("", |(_, name)| name),
            action,
            resource_type: "user",
            resource_id: id.as_deref(),
            details,
            address: Some(address),
            request_id: None,
        };
        self.accounts().audit().record(&entry, outcome).map(|_| ())
    }

    fn begin(&self, user: &UserRow, address: IpAddr) -> Result<SignedIn> {
        let now = self.now();
        let session = SessionRow {
            id: secret::to_text(&*secret::random::<SESSION_ID>()?),
            user_id: user.id,
            generation: 0,
            created: now,
            last_seen: now,
            expires: now.saturating_add(nanoseconds(self.inner.options.refresh_ttl)),
            address: Some(address.to_canonical().to_string()),
        };
        let most = self.inner.options.sessions_per_user.max(1);
        match self.accounts().catalog().begin_session(&session, &user.password_hash, most) {
            // Deleted, deactivated or given another password since it was read.
            Err(CatalogError::NotFound { .. }) => return Err(AccessError::Refused),
            other => other?,
        }
        self.tokens(self.accounts().user(user.id)?, &session.id, 0)
    }

    fn tokens(&self, user: User, session: &str, generation: u32) -> Result<SignedIn> {
        let expires_in = self.inner.options.access_ttl;
        let issued = self.now().div_euclid(1_000_000_000);
        let expires = issued.saturating_add(i64::try_from(expires_in.as_secs()).unwrap_or(i64::MAX));
        Ok(SignedIn {
            access_token: self.current()?.keys.sign(user.id, session, issued, expires)?,
            refresh_token: self.inner.refresh.token(session, generation)?,
            expires_in,
            user,
        })
    }

    /// New tokens for a refresh token, which is used up. One that was used before ends its session: it was stolen, or its
    /// successor was.
    ///
    /// # Errors
    /// [`AccessError::Unauthenticated`]; the catalog fails.
    pub fn refresh(&self, refresh_token: &str, address: IpAddr) -> Result<SignedIn> {
        let (session, generation) = self.inner.refresh.read(refresh_token)?;
        let now = self.now();
        let expires = now.saturating_add(nanoseconds(self.inner.options.refresh_ttl));
        match self.accounts().catalog().rotate_session(&session, generation, now, expires)? {
            Rotation::Rotated => {}
            Rotation::Gone => return Err(Rejection::Ended.into()),
            Rotation::Reused { user_id } => {
                let user = self.accounts().user(user_id)?;
                let who = Some((user.id, user.username.as_str()));
                self.record(
                    who,
                    "auth.refresh_reuse",
                    address,
                    Outcome::Refused,
                    json!({ "session_ended": true }),
                )?;
                return Err(Rejection::Reused.into());
            }
        }
        let principal = self.current()?.session(&session)?.at(now)?.0;
        let user = self.accounts().user(principal.user_id.unwrap_or_default())?;
        self.tokens(user, &session, generation.saturating_add(1))
    }

    /// Ends the session that the principal signed in to; its tokens are worth nothing from now on.
    ///
    /// # Errors
    /// There is no session (an API key, the local socket), or it ended before.
    pub fn sign_out(&self, principal: &Principal) -> Result<()> {
        self.revoke_session(session_of(principal)?)
    }

    /// Sessions, the newest first: of one user or of all.
    pub fn sessions(&self, user: Option<i64>) -> Result<Vec<Session>> {
        let now = self.now();
        let rows = self.accounts().catalog().sessions(user)?;
        let live = rows.into_iter().filter(|row| now < row.expires);
        Ok(live
            .map(|row| {
                let (last_seen, address) = match self.unwritten_session_use(&row.id) {
                    Some((time, address)) => (time.max(row.last_seen), Some(address)),
                    None => (row.last_seen, row.address),
                };
                Session {
                    last_seen,
                    id: row.id,
                    user_id: row.user_id,
                    created: row.created,
                    expires: row.expires,
                    address,
                }
            })
            .collect())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`AccessError::NotFound`].
    pub fn revoke_session(&self, id: &str) -> Result<()> {
        Ok(self.accounts().catalog().end_session(id)?)
    }

    /// Changes the own password; all other sessions of the user end. Wrong present passwords count like those of a sign-in.
    ///
    /// # Errors
    /// [`AccessError::Forbidden`] for an API key or the local socket; [`AccessError::Refused`], [`AccessError::Locked`]; a weak
    /// password.
    pub fn change_password(
        &self,
        principal: &Principal,
        current: &str,
        new: &str,
        address: IpAddr,
    ) -> Result<()> {
        let (PrincipalKind::Session(session), Some(id)) = (&principal.kind, principal.user_id) else {
            let why = "only who signed in with a password can change it here".to_owned();
            return Err(AccessError::Forbidden(why));
        };
        self.refuse_locked_address(address)?;
        let _place = self.accounts().hasher().queue()?;
        let key = secret::hash(&principal.name.to_ascii_lowercase());
        let _row = self.in_a_row(&key);
        let catalog = self.accounts().catalog();
        let user = catalog.user(id)?;
        self.refuse_locked(Some(&user), &key)?;
        password::check(&user.username, new)?;
        if !self.accounts().hasher().verify(Some(&user.password_hash), current) {
            self.count_failure(Some(&user), &key, address, "auth.change_password")?;
            return Err(AccessError::Refused);
        }
        let change = UserChangeRow {
            password_hash: Some(self.accounts().hasher().hash(new)?),
            keep_session: Some(session.clone()),
            ..UserChangeRow::default()
        };
        catalog.change_user(id, &change, ADMIN)?;
        Ok(())
    }
}
