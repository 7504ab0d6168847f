//! Media workers: rooms are distributed among them by load, and a dead worker is replaced.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, task::JoinSet};
use tracing::{error, info};
use tureen::{
    prelude::*,
    worker::{CreateWebRtcServerError, RequestError, WorkerId},
};

use crate::{addresses::listen_infos, config::RtcConfig};

/// Time between attempts to replace a worker.
const RETRY: Duration = Duration::from_secs(1);

/// The workers of a server.
pub(crate) struct WorkerPool {
    slots: Slots,
    /// One task for each slot, which replaces a dead worker.
    keepers: Mutex<JoinSet<()>>,
}

type Slots = Arc<Mutex<Vec<Option<MediaWorker>>>>;

/// A worker, its shared RTC port, and its load.
#[derive(Clone, Debug)]
pub(crate) struct MediaWorker {
    pub(crate) worker: Worker,
    pub(crate) webrtc_server: WebRtcServer,
    /// The port of `webrtc_server` on its first address.
    port: u16,
    load: Arc<AtomicUsize>,
    consumers: Arc<AtomicUsize>,
}

/// One unit of a worker's load (a room, a transport, a consumer), counted until it is dropped.
#[derive(Debug)]
pub(crate) struct LoadUnit {
    load: Arc<AtomicUsize>,
    /// Counter of consumers, if it is one.
    consumers: Option<Arc<AtomicUsize>>,
}

/// Error of starting a worker.
#[derive(Debug, thiserror::Error)]
pub enum StartWorkerError {
    /// The worker's thread cannot be started.
    #[error("cannot start media worker {index}: {source}")]
    Start {
        /// Index of the worker, from 0.
        index: usize,
        /// Error of the system.
        source: io::Error,
    },
    /// The worker does not answer.
    #[error("media worker {index} does not say where it listens: {source}")]
    Ask {
        /// Index of the worker, from 0.
        index: usize,
        /// Error of the worker.
        source: RequestError,
    },
    /// The worker cannot listen on its RTC port.
    #[error("media worker {index} cannot listen on RTC port {port}: {source}")]
    Listen {
        /// Index of the worker, from 0.
        index: usize,
        /// Port; 0 is any free port.
        port: u16,
        /// Error of the worker.
        source: CreateWebRtcServerError,
    },
}

impl WorkerPool {
    /// Starts `count` workers, each on its own RTC port.
    pub(crate) async fn start(count: usize, rtc: &RtcConfig) -> Result<Self, StartWorkerError> {
        let manager = WorkerManager::new();
        let slots = Slots::new(Mutex::new(vec![None; count]));
        let mut keepers = JoinSet::new();
        for index in 0..count {
            let (worker, died) = start(&manager, index, rtc).await?;
            lock(&slots)[index] = Some(worker);
            keepers.spawn(keep(manager.clone(), Arc::clone(&slots), index, rtc.clone(), died));
        }
        Ok(Self { slots, keepers: Mutex::new(keepers) })
    }

    /// Worker with the lowest load; `None` if no worker is alive.
    pub(crate) fn least_loaded(&self) -> Option<MediaWorker> {
        let slots = lock(&self.slots);
        slots.iter().flatten().min_by_key(|worker| worker.load.load(Ordering::Relaxed)).cloned()
    }

    /// Workers that are alive.
    pub(crate) fn alive(&self) -> Vec<Worker> {
        lock(&self.slots).iter().flatten().map(|worker| worker.worker.clone()).collect()
    }

    /// RTC port of each worker that is alive.
    pub(crate) fn ports(&self) -> Vec<u16> {
        lock(&self.slots).iter().flatten().map(|worker| worker.port).collect()
    }

    /// Drops the workers. Each one ends with its last room.
    pub(crate) fn stop(&self) {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        let workers: Vec<_> = lock(&self.slots).iter_mut().map(Option::take).collect();
        drop(workers);
    }
}

impl MediaWorker {
    /// Adds one unit of load.
    pub(crate) fn add_load(&self) -> LoadUnit {
        LoadUnit { load: self.add_load_count(), consumers: None }
    }

    fn add_load_count(&self) -> Arc<AtomicUsize> {
        self.load.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.load)
    }

    /// Adds one consumer, unless the limit is reached.
    pub(crate) fn add_consumer(&self, most: usize) -> Option<LoadUnit> {
        let before = self.consumers.fetch_add(1, Ordering::Relaxed);
        let unit = LoadUnit { load: self.add_load_count(), consumers: Some(Arc::clone(&self.consumers)) };
        (before < most).then_some(unit)
    }
}

impl Drop for LoadUnit {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        if let Some(consumers) = &self.consumers {
            consumers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

type Died = oneshot::Receiver<WorkerId>;

/// Waits for the death of the worker in a slot and replaces it, in an endless loop.
async fn keep(manager: WorkerManager, slots: Slots, index: usize, rtc: RtcConfig, mut died: Died) {
    while let Ok(id) = died.await {
        error!(worker = %id, index, "media worker died");
        let dead = lock(&slots)[index].take();
        drop(dead);
        died = loop {
            match start(&manager, index, &rtc).await {
                Ok((worker, died)) => {
                    info!(worker = %worker.worker.id(), index, "media worker replaced");
                    lock(&slots)[index] = Some(worker);
                    break died;
                }
                Err(error) => error!(%error, "media worker can't be replaced yet"),
            }
            tokio::time::sleep(RETRY).await;
        };
    }
}

async fn start(
    manager: &WorkerManager,
    index: usize,
    rtc: &RtcConfig,
) -> Result<(MediaWorker, Died), StartWorkerError> {
    let port = match rtc.port {
        0 => 0,
        first => first + u16::try_from(index).expect("ServerConfig::validate checks the ports"),
    };
    let worker = manager
        .create_worker(WorkerSettings::default())
        .await
        .map_err(|source| StartWorkerError::Start { index, source })?;
    let infos = listen_infos(rtc, (port != 0).then_some(port));
    let infos = WebRtcServerListenInfos::try_from(infos).expect("there is one per local address");
    let webrtc_server = worker
        .create_webrtc_server(WebRtcServerOptions::new(infos))
        .await
        .map_err(|source| StartWorkerError::Listen { index, port, source })?;

    let bound = webrtc_server.dump().await.map_err(|source| StartWorkerError::Ask { index, source })?;
    let port = bound.udp_sockets.first().map_or(port, |socket| socket.port);

    let (dead, died) = oneshot::channel();
    let id = worker.id();
    let tell = move |_| {
        // The task may have ended already when the server stops.
        let _ = dead.send(id);
    };
    worker.on_dead(tell).detach();
    info!(worker = %id, index, port, "media worker started");
    let media_worker =
        MediaWorker { worker, webrtc_server, port, load: Arc::default(), consumers: Arc::default() };
    Ok((media_worker, died))
}

fn lock(slots: &Slots) -> MutexGuard<'_, Vec<Option<MediaWorker>>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtc() -> RtcConfig {
        RtcConfig { port: 0, listen: vec!["127.0.0.1".parse().unwrap()], ..RtcConfig::default() }
    }

    #[tokio::test]
    async fn the_least_loaded_worker_is_chosen() {
        let pool = WorkerPool::start(2, &rtc()).await.unwrap();
        let first = pool.least_loaded().unwrap();
        let load = [first.add_load(), first.add_load()];
        let second = pool.least_loaded().unwrap();
        assert_ne!(first.worker.id(), second.worker.id());
        let _one = second.add_load();
        assert_eq!(pool.least_loaded().unwrap().worker.id(), second.worker.id());
        drop(load);
        assert_eq!(pool.least_loaded().unwrap().worker.id(), first.worker.id());
    }

    #[tokio::test]
    async fn a_dead_worker_is_replaced() {
        let manager = WorkerManager::new();
        let (worker, _lives) = start(&manager, 0, &rtc()).await.unwrap();
        let id = worker.worker.id();
        let slots = Slots::new(Mutex::new(vec![Some(worker)]));
        let (dead, died) = oneshot::channel();
        let keeper = tokio::spawn(keep(manager, Arc::clone(&slots), 0, rtc(), died));
        dead.send(id).unwrap();

        let successor = async {
            loop {
                let found = lock(&slots)[0].as_ref().map(|worker| worker.worker.id());
                match found {
                    Some(other) if other != id => return,
                    _ => tokio::task::yield_now().await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), successor).await.unwrap();
        keeper.abort();
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = WorkerPool::start(1, &RtcConfig { port, ..rtc() }).await.err().unwrap().to_string();
        assert!(error.contains(&port.to_string()), "{error}");
    }
}
