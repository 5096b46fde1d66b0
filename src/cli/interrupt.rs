//! Ctrl-C: the first one asks the task to end at a safe point, the second one ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigSet, Signal};

use super::error::{CliError, FAILED};
use super::output::tell;

/// Lets SIGINT and SIGTERM set the flag returned instead of killing the process. To be called before a task starts
/// threads: they inherit that these signals are blocked, and one thread here waits for them.
///
/// # Errors
/// The system refuses the thread or the signal mask.
pub(super) fn watch() -> Result<Arc<AtomicBool>, CliError> {
    let refused = |error: std::io::Error| CliError::Failed(format!("signals cannot be waited for: {error}"));
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().map_err(|errno| refused(errno.into()))?;
    let cancel = Arc::new(AtomicBool::new(false));
    let flag = cancel.clone();
    let wait = move || {
        while let Ok(signal) = signals.wait() {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(i32::from(FAILED));
            }
            tell(&format!(
                "\nreelward: {}: ending at the next safe point, what is stored stays stored; once more to stop at once\n",
                signal.as_str()
            ));
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map_err(refused)?;
    Ok(cancel)
}
