//! `portcullis serve`: the appliance, until it is told to stop.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use clap::Args;
use tokio::{runtime::Runtime, sync::watch, task::JoinHandle};

use super::{Ended, Failure, Outcome, Scene, local};
use crate::{
    appliance::{Appliance, World},
    command::Service,
    http::{
        Access, Api,
        server::{self, ServerError},
    },
    keys::secret::Tokens,
    limits::LAST_MS_MAX,
    share,
};

/// How often what has expired is erased.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// Options.
#[derive(Args)]
pub(super) struct Arguments {
    /// Address and port, instead of the configured ones.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

/// The API and its appliance, running.
pub(super) struct Host {
    pub(super) runtime: Runtime,
    pub(super) address: SocketAddr,
    pub(super) appliance: Arc<Appliance>,
    stop: watch::Sender<bool>,
    served: JoinHandle<Result<(), ServerError>>,
}

impl Host {
    /// Takes the port, answers `/livez`, loads the models, then answers everything. `prepare` runs
    /// before the first request is taken.
    pub(super) fn open(
        scene: &Scene<'_>,
        world: World,
        prepare: impl FnOnce(&Appliance) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let config = &scene.config;
        config.check()?;
        let access = access(scene)?;
        let tls = match config.server.tls_certificate.as_path() {
            none if none == Path::new("") => None,
            certificate => {
                let clients = config.server.tls_client_ca.as_path();
                let clients = Some(clients).filter(|path| !path.as_os_str().is_empty());
                Some(server::tls(certificate, &config.server.tls_key, clients)?)
            }
        };
        let listener = server::bind(config.server.listen)?;
        let address = listener.local_addr()?;
        // Before there are other threads: each shares the processor as the one that starts it.
        share::answer();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let (meter, clock) = (Arc::clone(&world.meter), Arc::clone(&world.clock));
        let api = Api::new(access, &config.limits, meter, clock);
        let (stop, stopped) = watch::channel(false);
        let ending = wait_for(stopped.clone());
        let bounds = server::Bounds::from(&config.limits);
        let served = runtime.spawn(server::serve(listener, tls, api.clone(), bounds, ending));
        let appliance = Appliance::start(config, scene.environment, world)?;
        prepare(&appliance)?;
        let appliance = Arc::new(appliance);
        runtime.spawn(housekeep(Arc::clone(&appliance), stopped));
        api.start(Arc::clone(&appliance) as Arc<dyn Service>);
        Ok(Self { runtime, address, appliance, stop, served })
    }

    /// Waits for `until`; then lets open requests end and stops. One time is set for all of it:
    /// `limits.drain_ms` for what is in flight, then five seconds in which whatever hangs (an
    /// engine, a lane's program, a caller) is left behind, so that a supervisor knows how patient
    /// it has to be.
    pub(super) fn run<T>(self, until: impl Future<Output = T>) -> Result<T, Failure> {
        let Self { runtime, appliance, stop, mut served, .. } = self;
        let ended = runtime.block_on(async {
            tokio::select! {
                ended = until => Ok(ended),
                served = &mut served => Err(served),
            }
        });
        let ended = match ended {
            Ok(ended) => ended,
            Err(Ok(Err(error))) => return Err(error.into()),
            Err(Ok(Ok(())) | Err(_)) => return Err(Failure::new("the server stopped by itself")),
        };
        appliance.refuse_more();
        stop.send_replace(true);
        let drained = runtime.block_on(served);
        appliance.stop();
        // Threads that wait for an engine that hangs would be waited for until their deadlines.
        runtime.shutdown_timeout(Duration::from_millis(LAST_MS_MAX));
        match drained {
            Ok(result) => result?,
            Err(error) => return Err(error.into()),
        }
        Ok(ended)
    }
}

async fn wait_for(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone: the host is, too.
    let _gone = stopped.wait_for(|&stop| stop).await;
}

async fn housekeep(appliance: Arc<Appliance>, mut stopped: watch::Receiver<bool>) {
    while tokio::time::timeout(HOUSEKEEPING, stopped.wait_for(|&stop| stop)).await.is_err() {
        let appliance = Arc::clone(&appliance);
        if tokio::task::spawn_blocking(move || appliance.housekeep()).await.is_err() {
            tracing::error!("housekeeping failed");
        }
    }
}

fn access(scene: &Scene<'_>) -> Result<Access, Failure> {
    let path = &scene.config.server.tokens;
    if path.as_os_str().is_empty() {
        return Ok(Access::Loopback(local::callers(scene, "loopback")));
    }
    Ok(Access::Tokens(Tokens::read(path)?))
}

/// Until somebody says stop: Ctrl-C, or the system's polite signal.
pub(super) async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut polite) = signal(SignalKind::terminate()) else {
        // Without a handler for the one, the other still works.
        let _told = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _told = tokio::signal::ctrl_c() => (),
        _told = polite.recv() => (),
    }
}

pub(super) fn run(arguments: &Arguments, scene: &mut Scene<'_>) -> Outcome {
    if let Some(listen) = arguments.listen {
        scene.config.server.listen = listen;
    }
    let world = local::world();
    let clock = Arc::clone(&world.clock);
    let host = Host::open(scene, world, |_| Ok(()))?;
    let scheme = if scene.config.server.tls_key.as_os_str().is_empty() { "http" } else { "https" };
    let url = format!("{scheme}://{}", host.address);
    let version = host.appliance.version();
    let ready_ms = clock.monotonic_us() / 1_000;
    let (networks, search) = (&version.networks, &version.search);
    tracing::info!(url, ready_ms, ?networks, ?search, "ready");
    if host.appliance.site().is_none() {
        tracing::warn!(
            "no site.profile is chosen: this is an evaluation on this machine, with people who \
             agreed to it, and no law was applied to a site"
        );
    }
    if scene.tell.json {
        let (networks, search) = (networks.backend, search.backend);
        let document = serde_json::json!({
            "url": url, "readyMs": ready_ms, "networks": networks, "search": search,
        });
        scene.tell.line(document);
    } else {
        scene.tell.line(format!("ready at {url} after {ready_ms} ms; Ctrl-C stops"));
    }
    host.run(told_to_stop())?;
    Ok(Ended::Done)
}
