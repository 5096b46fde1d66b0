//! HTTP. [`endpoint`] declares, [`dispatch`] does for every call what the declaration says, [`server`] listens.
//!
//! A surface is a folder with one file per resource; each file lists its endpoints. To add a surface: a folder, a line in
//! [`endpoints`], a variant of [`endpoint::Surface`] with its envelope.

mod activity;
mod audit;
pub mod call;
mod dispatch;
pub mod endpoint;
pub mod error;
mod memo;
mod openapi;
mod router;
pub mod server;
mod system;
mod tape;
mod telegram;
mod tls;
mod work;

use std::sync::Arc;
use std::time::Instant;

pub use endpoint::{Endpoint, Surface};
pub use server::{Listener, Server, ServerError};

use crate::access::{Access, Audit, LongOperations, RateLimits};
use crate::catalog::Catalog;
use crate::config::{Config, Keys, Vault};
use crate::engine::{Appliance, DeviceChoice};
use crate::tasks::Tasks;

/// What a handler can reach. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

/// Everything that serves calls.
pub struct Shared {
    /// Configuration as it was at the start.
    pub config: Config,
    /// The catalog.
    pub catalog: Catalog,
    /// The claimed state directory; tasks and calls take siblings of it.
    pub appliance: Appliance,
    /// Secrets at rest.
    pub vault: Arc<Vault>,
    /// Encryption keys.
    pub keys: Keys,
    /// Users, sessions, API keys.
    pub access: Access,
    /// The audit log.
    pub audit: Audit,
    /// Rate limits.
    pub limits: RateLimits,
    /// How many long operations run.
    pub long: LongOperations,
    /// The queue.
    pub tasks: Tasks,
    /// Since when.
    pub started: Instant,
    /// Asks the daemon to end, or to end and start again.
    pub control: Control,
}

/// What the daemon is asked to do by a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Nothing yet.
    Serve,
    /// End.
    Stop,
    /// End and start again.
    Restart,
}

/// The way from a call to the daemon.
#[derive(Debug, Clone)]
pub struct Control(Arc<tokio::sync::watch::Sender<Request>>);

impl Control {
    /// Nothing asked yet.
    pub fn new() -> Control {
        Control(Arc::new(tokio::sync::watch::channel(Request::Serve).0))
    }

    /// Asks. The first request stays.
    pub fn ask(&self, request: Request) {
        self.0.send_if_modified(|now| {
            let first = *now == Request::Serve;
            if first {
                *now = request;
            }
            first
        });
    }

    /// What was asked.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<Request> {
        self.0.subscribe()
    }
}

impl Default for Control {
    fn default() -> Control {
        Control::new()
    }
}

impl Api {
    /// Puts the parts together.
    pub fn new(shared: Shared) -> Api {
        Api(Arc::new(shared))
    }

    /// The engine, for reading and for work that needs no device of its own.
    pub fn appliance(&self) -> Appliance {
        self.0.appliance.sibling(DeviceChoice::default())
    }
}

impl std::ops::Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// Every endpoint of every surface.
pub fn endpoints() -> Vec<Endpoint> {
    let mut all = tape::endpoints();
    all.extend(system::endpoints());
    all
}

/// The OpenAPI document of every endpoint, as it is checked in and served.
pub fn openapi_document() -> serde_json::Value {
    openapi::document(&endpoints())
}
