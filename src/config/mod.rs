//! What an administrator configures: files, drop-ins, environment, flags.

mod vault;

pub use vault::{Vault, VaultError};
