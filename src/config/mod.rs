//! What an administrator configures: defaults, the package's file, `/etc/reelward/reelward.toml`, drop-ins, a file named on the
//! command line, the environment, flags; later ones win. `config/reelward.toml` shows every key.

mod key_sheet;
mod keys;
mod vault;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

pub use key_sheet::{SheetKey, key_sheet_html, key_sheet_text};
pub use keys::{Keys, KeysError};
pub use vault::{Vault, VaultError};

/// The package's own file.
const PACKAGED: &str = "/usr/lib/reelward/reelward.toml";
/// The administrator's file.
const SYSTEM: &str = "/etc/reelward/reelward.toml";
/// The administrator's drop-ins, in the order of their names.
const DROP_INS: &str = "/etc/reelward/conf.d";
/// `REELWARD_API__BODY_LIMIT` is `api.body_limit`.
const ENVIRONMENT: &str = "REELWARD_";
/// Variables of these names, or that begin with one and two underscores, are keys; other programs have others.
const SECTIONS: [&str; 6] = ["listen", "tls", "api", "devices", "schedule", "log"];

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// TLS.
    pub tls: TlsConfig,
    /// The API.
    pub api: ApiConfig,
    /// Devices.
    pub devices: DevicesConfig,
    /// Schedules.
    pub schedule: ScheduleConfig,
    /// Log lines.
    pub log: LogConfig,
}

/// TLS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// When connections are encrypted.
    pub mode: TlsMode,
    /// PEM file with the certificate chain; with `key`.
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key.
    pub key: Option<PathBuf>,
}

/// When connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Beyond the loopback interface.
    Auto,
    /// Never: something in front of the daemon does it.
    Off,
}

/// The API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiConfig {
    /// Bytes of a request's body.
    pub body_limit: usize,
    /// Origins of web pages that may call.
    pub cors_origins: Vec<String>,
    /// Sign-ins a minute from one address; 0 is no limit.
    pub sign_in_limit: u32,
    /// Reads a minute by one user; 0 is no limit.
    pub read_limit: u32,
    /// Changes a minute by one user; 0 is no limit.
    pub write_limit: u32,
    /// Backups and restores that may be started at a time.
    pub long_operations: u32,
}

/// Devices; what is not named is found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevicesConfig {
    /// Tape drives.
    pub drives: Vec<String>,
    /// Changers.
    pub changers: Vec<String>,
}

/// Schedules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Time zone of schedules that name none; the system's when empty.
    pub time_zone: String,
    /// Whether a run that was missed while the daemon was down is made up for, once.
    pub catch_up: bool,
}

/// Log lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            tls: TlsConfig { mode: TlsMode::Auto, certificate: None, key: None },
            api: ApiConfig {
                body_limit: 1 << 20,
                cors_origins: Vec::new(),
                sign_in_limit: 10,
                read_limit: 100,
                write_limit: 30,
                long_operations: 5,
            },
            devices: DevicesConfig { drives: Vec::new(), changers: Vec::new() },
            schedule: ScheduleConfig { time_zone: String::new(), catch_up: true },
            log: LogConfig { level: "info".into() },
        }
    }
}

/// A mistake in the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key or a value is wrong.
    #[error("configuration: {0}")]
    Wrong(String),
    /// A file or directory cannot be read.
    #[error("{}: cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl Config {
    /// Reads all places. `file` is the one named on the command line; it must be there.
    ///
    /// # Errors
    /// [`ConfigError`] names the key, the value and where it stands.
    pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Config::default()));
        let present = |path: &&Path| path.exists();
        for path in [Path::new(PACKAGED), Path::new(SYSTEM)].into_iter().filter(present) {
            figment = figment.merge(Toml::file_exact(path));
        }
        for path in drop_ins(Path::new(DROP_INS))? {
            figment = figment.merge(Toml::file_exact(path));
        }
        if let Some(path) = file {
            std::fs::metadata(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
            figment = figment.merge(Toml::file_exact(path));
        }
        let known = |key: &figment::value::UncasedStr| {
            SECTIONS.iter().any(|section| key == *section || key.starts_with(&format!("{section}__")))
        };
        Config::checked(figment.merge(Env::prefixed(ENVIRONMENT).filter(known).split("__")))
    }

    fn checked(figment: Figment) -> Result<Config, ConfigError> {
        let config: Config = figment.extract().map_err(|errors| {
            let told: Vec<String> = errors.into_iter().map(|error| error.to_string()).collect();
            ConfigError::Wrong(told.join("; "))
        })?;
        let wrong = |text: String| Err(ConfigError::Wrong(text));
        if config.tls.certificate.is_some() != config.tls.key.is_some() {
            return wrong("tls.certificate and tls.key belong together: give both or none".into());
        }
        if config.api.body_limit < 4096 {
            return wrong(format!(
                "api.body_limit is {}: at least 4096 bytes are needed",
                config.api.body_limit
            ));
        }
        if config.api.long_operations == 0 {
            return wrong("api.long_operations is 0: no backup could ever start".into());
        }
        if !["error", "warn", "info", "debug", "trace"].contains(&config.log.level.as_str()) {
            return wrong(format!(
                "log.level is {:?}: it is error, warn, info, debug or trace",
                config.log.level
            ));
        }
        Ok(config)
    }
}

/// `*.toml` of a directory by name; none where it does not exist.
fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let failed = |source| ConfigError::File { path: directory.to_owned(), source };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str) -> Result<Config, ConfigError> {
        Config::checked(Figment::from(Serialized::defaults(Config::default())).merge(Toml::string(text)))
    }

    #[test]
    fn the_documented_file_shows_every_key_with_its_default() {
        let shown = include_str!("../../config/reelward.toml");
        let lines: String = shown
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .map(|l| format!("{l}\n"))
            .collect();
        let parsed = Figment::new().merge(Toml::string(&lines)).extract::<figment::value::Dict>().unwrap();
        let defaults =
            Figment::from(Serialized::defaults(Config::default())).extract::<figment::value::Dict>().unwrap();
        let keys = |dict: &figment::value::Dict| {
            let inner = |value: &figment::value::Value| match value {
                figment::value::Value::Dict(_, dict) => dict.keys().cloned().collect(),
                _ => Vec::new(),
            };
            dict.iter().map(|(key, value)| (key.clone(), inner(value))).collect::<Vec<_>>()
        };
        assert_eq!(keys(&parsed), keys(&defaults));
        // What is not optional stands there with its default.
        let active: String =
            shown.lines().filter(|line| !line.starts_with('#')).map(|l| format!("{l}\n")).collect();
        assert_eq!(from(&active).unwrap(), Config::default());
    }

    #[test]
    fn every_section_can_be_set_by_the_environment() {
        let defaults =
            Figment::from(Serialized::defaults(Config::default())).extract::<figment::value::Dict>();
        assert_eq!(defaults.unwrap().keys().len(), SECTIONS.len());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, told) in [
            ("[api]\nbody_limt = 5", "body_limt"),
            ("listen = [\"here\"]", "listen"),
            ("[tls]\nmode = \"on\"", "mode"),
            ("[tls]\ncertificate = \"/a\"", "belong together"),
            ("[api]\nlong_operations = 0", "long_operations"),
            ("[log]\nlevel = \"loud\"", "log.level"),
        ] {
            let error = from(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
