//! `reelward serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::Outcome;
use super::context::Context;
use super::error::CliError;
use crate::api::Request;
use crate::config::TlsMode;
use crate::daemon::{self, Ready, ServeOptions};

/// Arguments of `reelward serve`.
#[derive(Debug, Args)]
#[command(
    after_help = "Ends on SIGTERM and SIGINT once running tasks have reached a checkpoint; they go on at the next start. \
    SIGHUP reads the certificates again.\nconfig/reelward.toml shows every key of the configuration."
)]
pub(super) struct ServeArgs {
    /// Address and port to listen on; may be given several times [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// auto: TLS beyond the loopback interface; off: never
    #[arg(long, value_name = "auto|off", value_parser = tls_mode)]
    tls: Option<TlsMode>,
    /// A configuration file, read after those of the system
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn tls_mode(text: &str) -> Result<TlsMode, String> {
    match text {
        "auto" => Ok(TlsMode::Auto),
        "off" => Ok(TlsMode::Off),
        _ => Err("auto or off".into()),
    }
}

/// Serves until the end; a restart that was asked for runs this binary again.
pub(super) fn run(context: &Context, args: ServeArgs) -> Result<Outcome, CliError> {
    let options = ServeOptions {
        state: context.state(),
        devices: context.devices.clone(),
        config: args.config,
        listen: args.listen,
        tls: args.tls,
    };
    let asked = daemon::serve(&options, |ready| tell(context, ready))?;
    if asked == Request::Restart {
        return Err(run_again());
    }
    Ok(Outcome::Done)
}

fn tell(context: &Context, ready: &Ready) {
    let output = context.output;
    if output.is_json() {
        output.json(&serde_json::json!({
            "listening": ready.addresses,
            "setup_token": ready.setup_token,
            "virtual_drives": ready.virtual_drives,
            "milliseconds": ready.took.as_millis() as u64,
        }));
        return;
    }
    for address in &ready.addresses {
        output.line(&format!("listening on {address}"));
    }
    if !ready.virtual_drives.is_empty() {
        let names = ready.virtual_drives.join(", ");
        output.warning(&format!("virtual drives: {names}: files on this disk and no tape"));
    }
    if let Some(token) = &ready.setup_token {
        output.line(&format!(
            "no user yet: POST /api/v1/setup with this token makes the first administrator: {token}"
        ));
    }
}

/// Replaces this process by a new one of the same command; returns only when that fails.
fn run_again() -> CliError {
    use std::os::unix::process::CommandExt;
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "reelward".into());
    let error = std::process::Command::new("/proc/self/exe").arg0(name).args(arguments).exec();
    CliError::Failed(format!("the daemon ended but could not start again: {error}"))
}
