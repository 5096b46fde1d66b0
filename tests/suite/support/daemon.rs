//! A daemon: the real binary, serving on a free port of the loopback interface.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http::Client;
use super::reelward::Reelward;

/// The administrator that [`Daemon::start`] makes.
pub const ADMIN: (&str, &str) = ("admin", "correct horse battery");

/// A daemon that ends with the test.
pub struct Daemon {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// The token of a first start.
    pub setup_token: Option<String>,
    /// Milliseconds from start to ready, as the daemon says.
    pub milliseconds: u64,
    /// What it said on standard error so far.
    pub errors: Arc<Mutex<String>>,
    urls: Vec<String>,
    state: PathBuf,
}

/// How to start one.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// More arguments.
    pub args: Vec<String>,
    /// More environment.
    pub env: Vec<(String, String)>,
    /// Rate limits as documented; they are off otherwise.
    pub limited: bool,
}

impl Daemon {
    /// Starts one on `state` without rate limits; it has no user yet.
    pub fn new(state: &Path) -> Daemon {
        Daemon::with(state, &Start::default())
    }

    /// Starts one.
    pub fn with(state: &Path, start: &Start) -> Daemon {
        let mut command = Reelward::new(state).command(["serve", "--listen", "127.0.0.1:0", "--json"]);
        command.args(&start.args).envs(start.env.iter().map(|(name, value)| (name, value)));
        if !start.limited {
            for name in ["SIGN_IN_LIMIT", "READ_LIMIT", "WRITE_LIMIT"] {
                command.env(format!("REELWARD_API__{name}"), "0");
            }
        }
        Daemon::spawn(command, state)
    }

    fn spawn(mut command: Command, state: &Path) -> Daemon {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let errors = Arc::new(Mutex::new(String::new()));
        let (kept, mut stderr) = (errors.clone(), BufReader::new(child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|read| read > 0) {
                kept.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        let mut text = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let ready: Value = loop {
            if stdout.read_line(&mut text).expect("standard output") == 0 {
                let status = child.wait().unwrap();
                panic!("serve ended: {status}\n{text}\n{}", errors.lock().unwrap());
            }
            if let Ok(value) = serde_json::from_str(&text) {
                break value;
            }
        };
        // Nobody reads it any more; it must not fill up.
        std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
        let url = ready["listening"][0].as_str().unwrap();
        Daemon {
            child,
            address: url.split("://").nth(1).unwrap().to_owned(),
            setup_token: ready["setup_token"].as_str().map(str::to_owned),
            milliseconds: ready["milliseconds"].as_u64().unwrap(),
            errors,
            urls: ready["listening"]
                .as_array()
                .unwrap()
                .iter()
                .map(|url| url.as_str().unwrap().to_owned())
                .collect(),
            state: state.to_owned(),
        }
    }

    /// Starts one with an administrator, who is signed in.
    pub fn start(state: &Path) -> (Daemon, Client) {
        let daemon = Daemon::new(state);
        let client = daemon.set_up();
        (daemon, client)
    }

    /// Makes the first administrator and signs in.
    pub fn set_up(&self) -> Client {
        let token = self.setup_token.as_deref().expect("a first start has a token");
        let body = json!({ "token": token, "username": ADMIN.0, "password": ADMIN.1 });
        self.nobody().posted("/api/v1/setup", &body);
        self.sign_in(ADMIN.0, ADMIN.1)
    }

    /// Somebody who is not signed in.
    pub fn nobody(&self) -> Client {
        Client::tcp(&self.address)
    }

    /// The owner of the socket file.
    pub fn owner(&self) -> Client {
        Client::unix(self.state.join("daemon.sock"))
    }

    /// Signs in.
    pub fn sign_in(&self, username: &str, password: &str) -> Client {
        let body = json!({ "username": username, "password": password });
        let answer = self.nobody().posted("/api/v1/auth/login", &body);
        self.nobody().bearer(answer["token"].as_str().unwrap())
    }

    /// Makes a user of this role and signs in.
    pub fn user(&self, admin: &Client, name: &str, role: &str) -> Client {
        let body = json!({ "username": name, "password": "battery staple horse", "role": role });
        admin.posted("/api/v1/users", &body);
        self.sign_in(name, "battery staple horse")
    }

    /// Where it listens, as URLs.
    pub fn listening(&self) -> &[String] {
        &self.urls
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).expect("it runs");
    }

    /// kill -9; what it was doing is cut off.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and it ends by itself within a minute with exit code 0.
    pub fn stop(mut self) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}: {}", self.errors.lock().unwrap());
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "it does not end: {}",
                self.errors.lock().unwrap()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again until `done` has a value, for at most a minute.
pub fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
