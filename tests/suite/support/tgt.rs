//! tgtd on loopback: tape drives and a changer that nobody here wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A running target; it ends with this value.
pub struct Tgt {
    directory: tempfile::TempDir,
    /// `iscsi://127.0.0.1:PORT/TARGET`.
    address: String,
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rigs").join(name)
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.iter().any(|folder| folder.join(program).exists())
}

impl Tgt {
    /// Starts it with cartridges of so many MiB. `None`, and a loud message, where the package `tgt` is missing or this
    /// user may not run it.
    pub fn start(megabytes: u32) -> Option<Tgt> {
        Tgt::start_with(megabytes, None)
    }

    /// The same, for initiators that show `USER:SECRET` only.
    pub fn start_with(megabytes: u32, chap: Option<&str>) -> Option<Tgt> {
        if !(installed("tgtd") && installed("tgtimg") && nix::unistd::geteuid().is_root()) {
            eprintln!(
                "SKIPPED: iSCSI needs the Debian packages tgt and libiscsi7, and root; `tests/run` installs them"
            );
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must not skip this");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", "120"])
            .arg(script("tgt-up"))
            .arg(directory.path())
            .env("TAPE_MB", megabytes.to_string());
        if let Some(chap) = chap {
            command.env("CHAP", chap);
        }
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tgt-up: {told}");
        let address = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        Some(Tgt { directory, address })
    }

    /// The device with this LUN: 1 and 2 are drives, 3 is the changer.
    pub fn url(&self, lun: u32) -> String {
        format!("iscsi://{}/{lun}", self.address)
    }

    /// Has the target close every connection, as a network that fails would.
    pub fn drop_sessions(&self) {
        let status = Command::new(script("tgt-drop")).arg(self.directory.path()).status().unwrap();
        assert!(status.success());
    }

    /// The same, with a user and perhaps a secret.
    pub fn url_as(&self, login: &str, lun: u32) -> String {
        format!("iscsi://{login}@{}/{lun}", self.address)
    }
}

impl Drop for Tgt {
    fn drop(&mut self) {
        let _ = Command::new(script("tgt-down")).arg(self.directory.path()).status();
    }
}
