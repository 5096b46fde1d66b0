//! The real binary as a user starts it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The binary with its `--state-dir`.
#[derive(Debug, Clone)]
pub struct Reelward {
    state_dir: PathBuf,
}

impl Reelward {
    /// Works on `state_dir`; nothing is made yet.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Reelward { state_dir: state_dir.into() }
    }

    /// The state directory.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// A command to be started by the caller (to kill it, to feed it); standard input is empty.
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reelward"));
        command.args(args).arg("--state-dir").arg(&self.state_dir);
        command
            .stdin(Stdio::null())
            .env_remove("REELWARD_STATE_DIR")
            .env_remove("REELWARD_CHANGER")
            // No test touches a drive that this machine may have.
            .env("REELWARD_DRIVE", "virtual")
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC");
        command
    }

    /// Runs to the end, whatever the exit code.
    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Output {
        self.command(args).output().expect("the binary starts")
    }

    /// Runs, must exit with 0; standard output.
    pub fn ok<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> String {
        self.exits(0, args).0
    }

    /// Runs, must exit with `code` (design: 0 done, 1 failed, 2 usage, 3 waiting); standard output and standard error.
    pub fn exits<A: AsRef<OsStr>>(&self, code: i32, args: impl IntoIterator<Item = A>) -> (String, String) {
        let args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        let output = self.run(&args);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let got = output.status.code();
        assert_eq!(
            got,
            Some(code),
            "reelward {args:?}: {}\nstdout:\n{stdout}\nstderr:\n{stderr}",
            output.status
        );
        (stdout, stderr)
    }

    /// Runs with `--json`, must exit with 0; the whole standard output as one value.
    pub fn json<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> serde_json::Value {
        let mut args: Vec<_> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        args.push("--json".into());
        let stdout = self.ok(&args);
        serde_json::from_str(&stdout)
            .unwrap_or_else(|error| panic!("reelward {args:?}: {error} in:\n{stdout}"))
    }
}
