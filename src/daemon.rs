//! `serve`: everything put together, started, watched and ended.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::access::{Access, AccessError, AccessOptions, Clock, LimitSettings, LongOperations, RateLimits};
use crate::api::{Api, Control, Listener, Request, Server, ServerError, Shared};
use crate::catalog::Catalog;
use crate::config::{Config, ConfigError, Keys, TlsMode, Vault, VaultError};
use crate::engine::{Appliance, DeviceChoice, EngineError, NamedDevices, Settings, apply_retention, chain};
use crate::tasks::{Events, KEPT, Missed, Tasks, TasksError, TasksOptions};

/// The socket in the state directory on which commands reach the daemon.
pub const SOCKET: &str = "daemon.sock";
/// Running tasks get this long to reach a checkpoint when the daemon ends.
const STOP_TIME: Duration = Duration::from_secs(60);
/// Between two looks at sessions, keys and locks that are over.
const TEND_EVERY: Duration = Duration::from_secs(60);
/// Stack of a thread that runs a handler.
const STACK: usize = 1 << 20;

/// What `serve` was told on the command line.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The state directory.
    pub state: PathBuf,
    /// Devices named; they come before those of the configuration.
    pub devices: DeviceChoice,
    /// A further configuration file.
    pub config: Option<PathBuf>,
    /// Instead of the configuration's addresses.
    pub listen: Vec<SocketAddr>,
    /// Instead of the configuration's mode.
    pub tls: Option<TlsMode>,
}

/// Why the daemon does not serve.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state directory or its catalog cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Secrets cannot be kept.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Users and sessions cannot be read.
    #[error("access control cannot be started")]
    Access(#[from] AccessError),
    /// Tasks cannot be run.
    #[error("tasks cannot be started")]
    Tasks(#[from] TasksError),
    /// Nobody can be served.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Threads or signals are not to be had.
    #[error("the system refused {what}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// The cause.
        source: std::io::Error,
    },
}

/// What `serve` tells once it is ready.
#[derive(Debug)]
pub struct Ready {
    /// URLs.
    pub addresses: Vec<String>,
    /// For the first user; none when there is one.
    pub setup_token: Option<String>,
    /// Names of the drives that are files and no tape.
    pub virtual_drives: Vec<String>,
    /// Time from start to here.
    pub took: Duration,
}

/// Serves until a signal or a call ends it. `ready` is told once calls are answered.
///
/// # Errors
/// [`DaemonError`]: nothing was started, or everything was ended again.
pub fn serve(options: &ServeOptions, ready: impl FnOnce(&Ready)) -> Result<Request, DaemonError> {
    let started = Instant::now();
    let mut config = Config::load(options.config.as_deref())?;
    if !options.listen.is_empty() {
        config.listen.clone_from(&options.listen);
    }
    config.tls.mode = options.tls.unwrap_or(config.tls.mode);
    start_logging(&config);
    let settings = Settings { state: options.state.clone(), devices: options.devices.clone() };
    let mut appliance = Appliance::open(settings)?;
    appliance.claim()?;
    let vault = Arc::new(Vault::open(&options.state)?);
    let access =
        Access::open(appliance.catalog().clone(), &options.state, vault.clone(), AccessOptions::default())?;
    let setup_token = access.setup_token()?.map(|token| token.as_str().to_owned());
    let audit = access.accounts().audit().clone();
    register(&appliance, &config, &options.devices)?;
    let events = Events::new(appliance.catalog().clone(), KEPT);
    let keys = Keys::new(appliance.catalog().clone(), vault.clone());
    let readers = keys.clone();
    let tasks = Tasks::start(TasksOptions {
        identities: Arc::new(move || readers.identities().map_err(|error| chain(&error))),
        time_zone: Some(config.schedule.time_zone.clone()).filter(|zone| !zone.is_empty()),
        missed: if config.schedule.catch_up { Missed::CatchUp } else { Missed::Skip },
        ..TasksOptions::new(appliance.sibling(DeviceChoice::default()), events)
    })?;
    tasks.start_schedule()?;
    let drives = appliance.catalog().drives().map_err(EngineError::from)?;
    let virtual_drives =
        drives.into_iter().filter(|drive| drive.is_virtual).map(|drive| drive.device).collect();
    let limits = LimitSettings {
        auth: config.api.sign_in_limit,
        read: config.api.read_limit,
        write: config.api.write_limit,
    };
    let control = Control::new();
    let listeners = listeners(&config, &options.state);
    let long = LongOperations::new(config.api.long_operations as usize);
    let tended = (access.clone(), appliance.catalog().clone());
    let api = Api::new(Shared {
        catalog: appliance.catalog().clone(),
        appliance,
        config,
        vault,
        keys,
        access,
        audit,
        limits: RateLimits::new(limits, Clock::system()),
        long,
        tasks: tasks.clone(),
        started,
        control: control.clone(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(STACK)
        .thread_keep_alive(Duration::from_secs(5))
        .enable_all()
        .build()
        .map_err(|source| DaemonError::System { what: "threads", source })?;
    let asked = runtime.block_on(async {
        let server = Server::bind(api, &listeners, &options.state).await?;
        let told =
            Ready { addresses: server.addresses(), setup_token, virtual_drives, took: started.elapsed() };
        end_on_signals(control)?;
        tokio::spawn(tend(tended.clone()));
        ready(&told);
        Ok::<_, DaemonError>(server.serve().await)
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    tracing::info!("ending: running tasks go to their next checkpoint");
    tasks.stop(STOP_TIME);
    tended_once(&tended.0, &tended.1);
    asked
}

/// Keeps access control in order, and has expire what is past its pool's retention.
async fn tend((access, catalog): (Access, Catalog)) {
    let mut minutes = tokio::time::interval(TEND_EVERY);
    loop {
        minutes.tick().await;
        let (access, catalog) = (access.clone(), catalog.clone());
        let done = tokio::task::spawn_blocking(move || tended_once(&access, &catalog)).await;
        if let Err(panicked) = done {
            tracing::error!(error = %panicked, "access control could not be kept in order");
        }
    }
}

fn tended_once(access: &Access, catalog: &Catalog) {
    let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
    if let Err(error) = apply_retention(catalog, now) {
        tracing::warn!(error = %chain(&error), "retention could not be applied");
    }
    if let Err(error) = access.tend() {
        tracing::warn!(error = %chain(&error), "access control could not be kept in order; it is tried again");
    }
}

/// Enters the devices into the catalog: those of the command line before those of the configuration.
fn register(appliance: &Appliance, config: &Config, choice: &DeviceChoice) -> Result<(), DaemonError> {
    let mut named =
        NamedDevices { drives: config.devices.drives.clone(), changers: config.devices.changers.clone() };
    named.drives.splice(0..0, choice.drive.clone());
    named.changers.splice(0..0, choice.changer.clone());
    let done = appliance.register_devices(&named)?;
    for name in done.added {
        tracing::info!(device = name, "a device that was not known before");
    }
    for problem in done.problems {
        tracing::warn!("a device does not answer: {problem}");
    }
    Ok(())
}

/// SIGTERM and SIGINT end the daemon.
fn end_on_signals(control: Control) -> Result<(), DaemonError> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let failed = |source| DaemonError::System { what: "signals", source };
        let mut signals = signal(kind).map_err(failed)?;
        let control = control.clone();
        tokio::spawn(async move {
            if signals.recv().await.is_some() {
                control.ask(Request::Stop);
            }
        });
    }
    Ok(())
}

fn listeners(config: &Config, state: &std::path::Path) -> Vec<Listener> {
    let tcp = config.listen.iter().map(|&address| Listener::Tcp {
        address,
        tls: config.tls.mode == TlsMode::Auto && !address.ip().is_loopback(),
    });
    tcp.chain([Listener::Unix(state.join(SOCKET))]).collect()
}

/// Lines go to the journal where the process is one of systemd's services, else to standard error.
fn start_logging(config: &Config) {
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let level: LevelFilter = config.log.level.parse().unwrap_or(LevelFilter::INFO);
    let registry = tracing_subscriber::registry().with(level);
    let journal = std::env::var_os("JOURNAL_STREAM")
        .and_then(|_| tracing_journald::layer().ok())
        .map(|layer| layer.with_field_prefix(None));
    // A second start in one process (tests) keeps the first subscriber.
    let _ = match journal {
        Some(journal) => registry.with(journal).try_init(),
        None => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_target(false)
                    .with_ansi(false),
            )
            .try_init(),
    };
}
