//! `reelward key`: age identities.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use zeroize::Zeroizing;

use super::context::Context;
use super::error::CliError;
use super::output::Tone;
use super::{Outcome, text};
use crate::format::age::Identity;

/// Commands of `reelward key`.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key pair: the secret into a new file of mode 0600, the recipient (for `backup --encrypt-to`) on standard output
    Create {
        /// The file to make; one that exists is never overwritten
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
}

pub(super) fn run(context: &Context, command: KeyCommand) -> Result<Outcome, CliError> {
    let KeyCommand::Create { output: path } = command;
    let unusable = |source| CliError::Key { what: "no key could be made".to_owned(), source };
    let identity = Identity::generate().map_err(unusable)?;
    let recipient = identity.recipient().to_string();
    write(&path, &identity, &recipient).map_err(|source| CliError::File {
        path: path.clone(),
        what: if source.kind() == std::io::ErrorKind::AlreadyExists {
            "a key is never written over another file"
        } else {
            "the key cannot be written"
        },
        source,
    })?;
    let output = context.output;
    output.answer(&json!({ "file": path.display().to_string(), "recipient": recipient }), || {
        format!("{recipient}\n")
    });
    if !output.is_json() {
        output.warning(&format!(
            "{} is {} to what is encrypted for it: keep copies away from this machine",
            text::name(path.as_os_str().as_encoded_bytes()),
            output.paint(Tone::Strong, "the only key")
        ));
    }
    Ok(Outcome::Done)
}

/// As `age-keygen` writes it, durable before anything is encrypted for it.
fn write(path: &Path, identity: &Identity, recipient: &str) -> std::io::Result<()> {
    let mut text = Zeroizing::new(String::with_capacity(256));
    let now =
        text::rfc3339(jiff::Timestamp::now().as_nanosecond().try_into().unwrap_or(0)).unwrap_or_default();
    text.push_str(&format!("# created: {now}\n# public key: {recipient}\n"));
    text.push_str(&identity.to_secret_text());
    text.push('\n');
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}
