//! What holds for all of access control together.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::*;
use crate::catalog::Catalog;
use crate::config::Vault;

mod accounts;
mod audit;
mod keys;
mod setup;
mod sign_in;
mod tokens;

/// Where most requests come from.
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const PASSWORD: &str = "securepassword";

/// A state directory with access control and a clock that stands still.
struct Rig {
    state: tempfile::TempDir,
    catalog: Catalog,
    clock: Clock,
    access: Access,
}

fn open(state: &Path, clock: &Clock, change: impl FnOnce(&mut AccessOptions)) -> (Catalog, Access) {
    let catalog = Catalog::open(&state.join("catalog.sqlite")).unwrap();
    let vault = Arc::new(Vault::open_with(state, None).unwrap());
    let mut options = AccessOptions { clock: clock.clone(), ..AccessOptions::default() };
    change(&mut options);
    let access = Access::open(catalog.clone(), state, vault, options).unwrap();
    (catalog, access)
}

impl Rig {
    fn new() -> Rig {
        Rig::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut AccessOptions)) -> Rig {
        let state = tempfile::tempdir().unwrap();
        let clock = Clock::manual(1_700_000_000_000_000_000);
        let (catalog, access) = open(state.path(), &clock, change);
        Rig { state, catalog, clock, access }
    }

    /// Another process on the same state directory.
    fn other_process(&self) -> Access {
        open(self.state.path(), &self.clock, |_| {}).1
    }

    fn user(&self, name: &str, role: &str) -> User {
        self.access.accounts().create_user(&Principal::local(), &new_user(name, role)).unwrap()
    }

    fn sign_in(&self, name: &str) -> SignedIn {
        self.access.sign_in(name, PASSWORD, HERE).unwrap()
    }

    fn principal(&self, token: &str) -> Result<Principal> {
        self.access.authenticate(&Credential::Bearer(token), HERE)
    }

    /// A user who has just signed in.
    fn somebody(&self, name: &str, role: &str) -> (SignedIn, Principal) {
        self.user(name, role);
        let signed_in = self.sign_in(name);
        let principal = self.principal(&signed_in.access_token).unwrap();
        (signed_in, principal)
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn new_user(name: &str, role: &str) -> NewUser {
    NewUser {
        username: name.to_owned(),
        password: Zeroizing::new(PASSWORD.to_owned()),
        role: role.to_owned(),
        email: None,
        full_name: None,
    }
}

fn rejection<T: std::fmt::Debug>(result: Result<T>) -> Rejection {
    match result {
        Err(AccessError::Unauthenticated(rejection)) => rejection,
        other => panic!("not a rejection: {other:?}"),
    }
}
