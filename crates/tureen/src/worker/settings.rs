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
use crate::driver;
pub use crate::driver::QueueLimits;
use crate::driver::log::LogSettings;

/// Settings of a new [`Worker`](super::Worker).
///
/// `log_level` to `app_data` are those of the mediasoup crate; the other fields are Tureen's own.
#[derive(Clone)]
#[non_exhaustive]
pub struct WorkerSettings {
    /// Least severity to be logged. Default [`WorkerLogLevel::Debug`].
    ///
    /// A worker's thread logs by `tracing`, to the subscriber that is in force where the worker is created. What this
    /// level and `log_tags` let through is subject to the subscriber's own filter. Where there is no subscriber yet, one
    /// that is set later gets all lines.
    pub log_level: WorkerLogLevel,
    /// Topics to be logged, all by default. They choose among warnings and debug lines; errors, and lines without a
    /// topic, have `log_level` alone. The topic of a line is its target, such as
    /// `tureen::dtls`.
    pub log_tags: Vec<WorkerLogTag>,
    /// Ports for sockets whose [`ListenInfo`](crate::data_structures::ListenInfo) names none. Default 10000 to 59999.
    pub rtc_port_range: RangeInclusive<u16>,
    /// Certificate and private key of all transports. If `None`, they are generated.
    pub dtls_files: Option<WorkerDtlsFiles>,
    /// Called on the worker's thread before it does anything else, for instance to pin it to a CPU core.
    pub thread_initializer: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Custom application data.
    pub app_data: AppData,
    /// Which library runs DTLS, its versions, SRTP suites and times.
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
    /// See [`WorkerSettings::log_level`]. If `None`, it stays.
    pub log_level: Option<WorkerLogLevel>,
    /// See [`WorkerSettings::log_tags`]. If `None`, they stay.
    pub log_tags: Option<Vec<WorkerLogTag>>,
}

impl WorkerSettings {
    /// The part that the driver needs, and the rest.
    pub(super) fn into_driver_settings(self, id: WorkerId) -> io::Result<(driver::Settings, AppData)> {
        if self.rtc_port_range.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "Invalid RTC ports range"));
        }
        let settings = driver::Settings {
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
