//! Users, managed by an administrator: with a daemon or without.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::audit::Audit;
use super::clock::Clock;
use super::password::{self, Hasher};
use super::roles::ADMIN;
use super::{AccessError, Principal, Result};
use crate::catalog::{Catalog, NewUserRow, UserChangeRow, UserRow};

/// Letters of the longest user name.
const LONGEST_NAME: usize = 64;
/// Letters of the longest mail address and full name.
const LONGEST_TEXT: usize = 254;

/// Users, roles and the audit log of one state directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Accounts {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    catalog: Catalog,
    state: PathBuf,
    clock: Clock,
    hasher: Hasher,
    audit: Audit,
}

/// Somebody who may sign in. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Id; never given out again.
    pub id: i64,
    /// Unique, case ignored.
    pub username: String,
    /// Name of the role.
    pub role: String,
    /// Where mail goes.
    pub email: Option<String>,
    /// For people.
    pub full_name: Option<String>,
    /// Whether they may sign in.
    pub is_active: bool,
    /// When the user was made.
    pub created: i64,
    /// When they last signed in.
    pub last_login: Option<i64>,
    /// No sign-in before, after too many wrong passwords.
    pub locked_until: Option<i64>,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        User {
            id: row.id,
            username: row.username,
            role: row.role,
            email: row.email,
            full_name: row.full_name,
            is_active: row.is_active,
            created: row.created,
            last_login: row.last_login,
            locked_until: row.locked_until,
        }
    }
}

/// A user to make.
#[derive(Clone)]
pub struct NewUser {
    /// 1 to 64 of `a-z A-Z 0-9 . _ - @ +`, the first a letter or digit.
    pub username: String,
    /// At least 8 characters.
    pub password: Zeroizing<String>,
    /// Name of a role.
    pub role: String,
    /// Where mail goes.
    pub email: Option<String>,
    /// For people.
    pub full_name: Option<String>,
}

impl std::fmt::Debug for NewUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewUser({}, role {})", self.username, self.role)
    }
}

/// What to change about a user; what is `None` stays.
#[derive(Clone, Default)]
pub struct UserChange {
    /// Name of a role.
    pub role: Option<String>,
    /// Where mail goes; the inner `None` removes it.
    pub email: Option<Option<String>>,
    /// For people; the inner `None` removes it.
    pub full_name: Option<Option<String>>,
    /// Whether they may sign in; `false` ends their sessions.
    pub is_active: Option<bool>,
    /// A new password; it ends their sessions and a lock.
    pub password: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for UserChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserChange")
            .field("role", &self.role)
            .field("is_active", &self.is_active)
            .finish_non_exhaustive()
    }
}

impl Accounts {
    /// Users and audit log of this catalog.
    ///
    /// # Errors
    /// No random numbers.
    pub fn open(catalog: Catalog, state: &Path) -> Result<Accounts> {
        Accounts::with_clock(catalog, state, Clock::system())
    }

    pub(super) fn with_clock(catalog: Catalog, state: &Path, clock: Clock) -> Result<Accounts> {
        let audit = Audit::new(catalog.clone(), state, clock.clone());
        let inner = Inner { catalog, state: state.to_owned(), clock, hasher: Hasher::new()?, audit };
        Ok(Accounts { inner: Arc::new(inner) })
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    pub(super) fn state(&self) -> &Path {
        &self.inner.state
    }

    pub(super) fn hasher(&self) -> &Hasher {
        &self.inner.hasher
    }

    pub(super) fn now(&self) -> i64 {
        self.inner.clock.now()
    }

    /// The audit log.
    pub fn audit(&self) -> &Audit {
        &self.inner.audit
    }

    /// All users, in the order they were made.
    pub fn users(&self) -> Result<Vec<User>> {
        Ok(self.catalog().users()?.into_iter().map(User::from).collect())
    }

    /// The user with this id.
    ///
    /// # Errors
    /// There is none.
    pub fn user(&self, id: i64) -> Result<User> {
        Ok(self.catalog().user(id)?.into())
    }

    /// The user of this name, case ignored.
    ///
    /// # Errors
    /// There is none.
    pub fn user_by_name(&self, name: &str) -> Result<User> {
        let missing = || AccessError::NotFound { what: "user", name: name.to_owned() };
        Ok(self.catalog().user_by_name(name)?.ok_or_else(missing)?.into())
    }

    /// Makes a user; nobody can give more rights than they have.
    ///
    /// # Errors
    /// A name that is none or taken, a weak password, no such role, rights that `by` has not.
    pub fn create_user(&self, by: &Principal, new: &NewUser) -> Result<User> {
        self.may_grant(by, &new.role)?;
        let user: User = self.catalog().add_user(&self.row_of(new)?, false)?.into();
        super::setup::forget(self.state())?;
        Ok(user)
    }

    /// Makes the very first user, an admin.
    ///
    /// # Errors
    /// [`AccessError::SetUp`] where there is a user; as [`Accounts::create_user`].
    pub(super) fn create_first(&self, new: &NewUser) -> Result<User> {
        match self.catalog().add_user(&self.row_of(new)?, true) {
            Err(crate::catalog::CatalogError::Exists { .. }) => Err(AccessError::SetUp),
            other => Ok(other?.into()),
        }
    }

    fn row_of(&self, new: &NewUser) -> Result<NewUserRow> {
        check_name(&new.username)?;
        check_text("email", new.email.as_deref())?;
        check_text("full_name", new.full_name.as_deref())?;
        password::check(&new.username, &new.password)?;
        Ok(NewUserRow {
            username: new.username.clone(),
            role: new.role.clone(),
            email: new.email.clone(),
            full_name: new.full_name.clone(),
            password_hash: self.hasher().hash(&new.password)?,
            created: self.now(),
        })
    }

    /// Changes a user. The last active admin stays one.
    ///
    /// # Errors
    /// None with this id, a value that cannot be, rights that `by` has not, [`AccessError::LastAdmin`].
    pub fn update_user(&self, by: &Principal, id: i64, change: &UserChange) -> Result<User> {
        let user = self.catalog().user(id)?;
        self.may_manage(by, &user)?;
        if let Some(role) = &change.role {
            self.may_grant(by, role)?;
        }
        check_text("email", change.email.as_ref().and_then(|email| email.as_deref()))?;
        check_text("full_name", change.full_name.as_ref().and_then(|name| name.as_deref()))?;
        let password_hash = match &change.password {
            Some(password) => {
                password::check(&user.username, password)?;
                Some(self.hasher().hash(password)?)
            }
            None => None,
        };
        let row = UserChangeRow {
            role: change.role.clone(),
            email: change.email.clone(),
            full_name: change.full_name.clone(),
            is_active: change.is_active,
            password_hash,
            keep_session: None,
        };
        Ok(self.catalog().change_user(id, &row, ADMIN)?.into())
    }

    /// Deletes a user with their sessions and API keys. The last active admin stays, and nobody deletes themselves.
    ///
    /// # Errors
    /// None with this id, rights that `by` has not, [`AccessError::LastAdmin`].
    pub fn delete_user(&self, by: &Principal, id: i64) -> Result<User> {
        let user = self.catalog().user(id)?;
        if by.user_id == Some(id) {
            return Err(AccessError::Forbidden("nobody can delete themselves".to_owned()));
        }
        self.may_manage(by, &user)?;
        Ok(self.catalog().delete_user(id, ADMIN)?.into())
    }

    /// Ends a lock after too many wrong passwords.
    ///
    /// # Errors
    /// None with this id, rights that `by` has not.
    pub fn unlock_user(&self, by: &Principal, id: i64) -> Result<()> {
        self.may_manage(by, &self.catalog().user(id)?)?;
        Ok(self.catalog().unlock_user(id)?)
    }

    /// Refuses where the user may do what `by` may not.
    fn may_manage(&self, by: &Principal, user: &UserRow) -> Result<()> {
        let theirs = super::roles::permissions_of(&user.role, &self.catalog().roles()?).unwrap_or_default();
        if by.permissions.covers(&theirs) {
            return Ok(());
        }
        Err(AccessError::Forbidden(format!("the user {} may do more than you", user.username)))
    }
}

fn check_name(name: &str) -> Result<()> {
    let letter = |c: char| c.is_ascii_alphanumeric() || "._-@+".contains(c);
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins_well && name.len() <= LONGEST_NAME && name.chars().all(letter) {
        return Ok(());
    }
    let reason =
        format!("must be 1 to {LONGEST_NAME} of a-z, A-Z, 0-9 and . _ - @ +, the first a letter or digit");
    Err(AccessError::Invalid { field: "username", reason })
}

fn check_text(field: &'static str, text: Option<&str>) -> Result<()> {
    match text {
        Some(text) if text.chars().count() > LONGEST_TEXT || text.chars().any(char::is_control) => {
            let reason = format!("must be at most {LONGEST_TEXT} characters without controls");
            Err(AccessError::Invalid { field, reason })
        }
        _ => Ok(()),
    }
}
