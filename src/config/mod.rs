//! What an administrator configures: files, drop-ins, environment, flags.

mod key_sheet;
mod keys;
mod vault;

pub use key_sheet::{SheetKey, key_sheet_html, key_sheet_text};
pub use keys::{Keys, KeysError};
pub use vault::{Vault, VaultError};
