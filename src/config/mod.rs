//! What an administrator configures: files, drop-ins, environment, flags.

mod key_ring;
mod key_sheet;
mod vault;

pub use key_ring::{KeyRing, KeyRingError};
pub use key_sheet::{SheetKey, key_sheet_html, key_sheet_text};
pub use vault::{Vault, VaultError};
