//! Settings of a Worker.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
pub use tureen_driver::log::{WorkerLogLevel, WorkerLogTag};
use tureen_driver::{DtlsFiles, EngineConfig};
pub use tureen_engine::worker::Limits;
pub use tureen_net::NetConfig;
pub use tureen_rtc::dtls::{Backend as DtlsBackend, DtlsOptions, Versions as DtlsVersions};

use super::WorkerId;
use crate::data_structures::AppData;
use crate::threads;
pub use crate::threads::QueueLimits;
use crate::threads::log::LogSettings;

/// Settings of a new [`Worker`](super::Worker).
///
/// The fields `log_level` to `app_data` are those of the mediasoup crate; the others are Tureen's own.
#[derive(Clone)]
#[non_exhaustive]
pub struct WorkerSettings {
    /// Minimum severity of log lines. Default [`WorkerLogLevel::Debug`].
    ///
    /// The worker's thread logs by `tracing`, to the subscriber that is active where the worker is created. Lines
    /// that pass this level and `log_tags` are still subject to the subscriber's own filter. If there is no
    /// subscriber yet, one that is set later gets all lines.
    pub log_level: WorkerLogLevel,
    /// Tags to log. Default all. Tags select among warnings and debug lines; for errors, and for lines without a tag,
    /// only `log_level` counts. The tag of a line is its `tracing` target, such as `tureen::dtls`.
    pub log_tags: Vec<WorkerLogTag>,
    /// Ports of sockets whose [`ListenInfo`](crate::data_structures::ListenInfo) has no port. Default 10000 to 59999.
    pub rtc_port_range: RangeInclusive<u16>,
    /// DTLS certificate and private key of all transports. `None` (the default) generates a pair.
    pub dtls_files: Option<WorkerDtlsFiles>,
    /// Runs on the worker's thread before everything else, for instance to pin the thread to a CPU core. Default
    /// none.
    pub thread_initializer: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Custom application data.
    pub app_data: AppData,
    /// DTLS backend, DTLS versions, SRTP suites and timeouts.
    pub dtls: DtlsOptions,
    /// Bounds of the engine: streams, paths, retransmission buffers.
    pub limits: Limits,
    /// Batches and buffers of the sockets.
    pub net: NetConfig,
    /// Bounds of the queues between the application and the worker's thread.
    pub queues: QueueLimits,
}

/// DTLS certificate and private key.
#[derive(Debug, Clone)]
pub struct WorkerDtlsFiles {
    /// Path of the certificate, a PEM file.
    pub certificate: PathBuf,
    /// Path of its private key, a PEM file.
    pub private_key: PathBuf,
}

/// Settings of a worker that may be changed while it runs.
#[derive(Default, Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct WorkerUpdateSettings {
    /// See [`WorkerSettings::log_level`]. `None` changes nothing.
    pub log_level: Option<WorkerLogLevel>,
    /// See [`WorkerSettings::log_tags`]. `None` changes nothing.
    pub log_tags: Option<Vec<WorkerLogTag>>,
}

impl WorkerSettings {
    /// Splits the settings into those of the threads and the application data.
    pub(super) fn into_thread_settings(self, id: WorkerId) -> io::Result<(threads::Settings, AppData)> {
        if self.rtc_port_range.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "Invalid RTC ports range"));
        }
        let settings = threads::Settings {
            id,
            log: LogSettings::new(self.log_level, &self.log_tags),
            engine: EngineConfig {
                rtc_port_range: self.rtc_port_range,
                dtls_files: self.dtls_files.map(|files| DtlsFiles {
                    certificate: files.certificate,
                    private_key: files.private_key,
                }),
                dtls: self.dtls,
                limits: self.limits,
                batches_per_turn: self.queues.batches_per_turn,
            },
            net: self.net,
            queues: self.queues,
            thread_initializer: self.thread_initializer,
        };
        Ok((settings, self.app_data))
    }
}

impl Default for WorkerSettings {
    fn default() -> Self {
        use WorkerLogTag::*;
        Self {
            log_level: WorkerLogLevel::Debug,
            log_tags: vec![Info, Ice, Dtls, Rtp, Srtp, Rtcp, Rtx, Bwe, Score, Simulcast, Svc, Sctp, Message],
            rtc_port_range: 10000..=59999,
            dtls_files: None,
            thread_initializer: None,
            app_data: AppData::default(),
            dtls: DtlsOptions::default(),
            limits: Limits::default(),
            net: NetConfig::default(),
            queues: QueueLimits::default(),
        }
    }
}

impl fmt::Debug for WorkerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerSettings")
            .field("log_level", &self.log_level)
            .field("log_tags", &self.log_tags)
            .field("rtc_port_range", &self.rtc_port_range)
            .field("dtls_files", &self.dtls_files)
            .field("thread_initializer", &self.thread_initializer.as_ref().map(|_| "Fn"))
            .field("app_data", &self.app_data)
            .field("dtls", &self.dtls)
            .field("limits", &self.limits)
            .field("net", &self.net)
            .field("queues", &self.queues)
            .finish()
    }
}
