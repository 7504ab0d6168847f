//! Creates [`Worker`]s.

use std::sync::{Arc, mpsc};
use std::{fmt, io};

use async_executor::Executor;
use event_listener_primitives::{Bag, HandlerId};
use parking_lot::Mutex;

use crate::worker::{Worker, WorkerSettings};

/// Creates [`Worker`]s, and waits for their threads when it is dropped.
///
/// Workers keep their manager open. Dropping the last handle of all therefore waits until the threads of the workers
/// have ended and their sockets are closed, which takes one turn of their loops.
///
/// # Examples
/// ```
/// use tureen::worker::WorkerSettings;
/// use tureen::worker_manager::WorkerManager;
///
/// futures_lite::future::block_on(async {
///     let worker_manager = WorkerManager::new();
///     let worker = worker_manager.create_worker(WorkerSettings::default()).await?;
///     assert!(!worker.closed());
/// #   std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct WorkerManager {
    inner: Arc<Inner>,
}

#[derive(Default)]
#[expect(clippy::type_complexity)]
struct Inner {
    new_worker: Bag<Arc<dyn Fn(&Worker) + Send + Sync>, Worker>,
    /// Each is disconnected when its worker's thread ends.
    threads: Mutex<Vec<mpsc::Receiver<()>>>,
}

impl WorkerManager {
    /// A manager without workers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Same as [`WorkerManager::new`], because workers have threads of their own and need no executor. Kept so that
    /// code written for mediasoup compiles.
    pub fn with_executor(_executor: Arc<Executor<'static>>) -> Self {
        Self::new()
    }

    /// Starts a worker.
    ///
    /// # Errors
    /// `InvalidInput` names an invalid setting; otherwise a file can't be read, or the operating system refuses a
    /// thread or a socket.
    pub async fn create_worker(&self, worker_settings: WorkerSettings) -> io::Result<Worker> {
        let (exited, thread) = mpsc::channel();
        {
            let mut threads = self.inner.threads.lock();
            threads.retain(|thread| matches!(thread.try_recv(), Err(mpsc::TryRecvError::Empty)));
            threads.push(thread);
        }
        let worker = Worker::new(worker_settings, self.clone(), exited).await?;
        self.inner.new_worker.call_simple(&worker);
        Ok(worker)
    }

    /// Calls `callback` with each new worker.
    pub fn on_new_worker<F: Fn(&Worker) + Send + Sync + 'static>(&self, callback: F) -> HandlerId {
        self.inner.new_worker.add(Arc::new(callback))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for thread in std::mem::take(self.threads.get_mut()) {
            // Nothing is ever sent: `recv` returns when the thread drops its sender.
            let _ = thread.recv();
        }
    }
}

impl fmt::Debug for WorkerManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerManager").finish_non_exhaustive()
    }
}
