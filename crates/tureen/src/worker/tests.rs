//! The end of worker threads.

use std::io;
use std::sync::mpsc;

use futures_lite::future::block_on;

use super::*;
use crate::prelude::*;
use crate::test_support::{Call, worker};
use crate::threads::log::tests::Lines;

#[test]
fn panic_of_a_worker_thread_ends_that_worker_alone() {
    block_on(async {
        let broken = Call::new().await;
        let sound = worker().await;
        let (dead, is_dead) = mpsc::channel();
        let _handler = broken.worker.on_dead(move |result| dead.send(result).unwrap());
        let (closed, is_closed) = mpsc::channel();
        let _handler = broken.consumer.on_close(move || closed.send(()).unwrap());

        broken.worker.panic();
        assert!(matches!(broken.router.dump().await, Err(RequestError::ChannelClosed)));
        let result = is_dead.recv().unwrap();
        assert_eq!(result.unwrap_err().to_string(), "Worker exited unexpectedly");
        is_closed.recv().unwrap();
        assert!(broken.worker.closed() && broken.router.closed() && broken.consumer.closed());

        let late = mpsc::channel();
        let _handler = broken.worker.on_close(move || late.0.send(()).unwrap());
        late.1.try_recv().expect("a callback for what has happened is called in place");
        assert!(sound.dump().await.is_ok());
    });
}

#[test]
fn log_level_applies_to_the_workers_thread_and_changes_at_once() {
    let lines_of_panic = |level| {
        let lines = Lines::default();
        tracing::subscriber::with_default(lines.clone(), || {
            block_on(async {
                let settings = WorkerSettings {
                    log_level: WorkerLogLevel::Error,
                    thread_initializer: Some(Arc::new(|| tracing::warn!("warning"))),
                    ..Default::default()
                };
                let worker = WorkerManager::new().create_worker(settings).await.unwrap();
                let update = WorkerUpdateSettings { log_level: level, ..Default::default() };
                worker.update_settings(update).await.unwrap();
                let (dead, is_dead) = mpsc::channel();
                let _handler = worker.on_dead(move |_| dead.send(()).unwrap());
                worker.panic();
                is_dead.recv().unwrap();
                let update = worker.update_settings(WorkerUpdateSettings::default()).await;
                assert!(matches!(update, Err(RequestError::ChannelClosed)));
            });
        });
        let mut lines = lines.take();
        // Handles write log lines on the application's threads too.
        lines.retain(|line| line != "update settings");
        lines
    };
    assert_eq!(lines_of_panic(None), ["the worker thread panicked"]);
    assert!(lines_of_panic(Some(WorkerLogLevel::None)).is_empty());
}

#[test]
fn panicking_thread_initializer_fails_the_creation() {
    let settings =
        WorkerSettings { thread_initializer: Some(Arc::new(|| panic!("no"))), ..Default::default() };
    let error = block_on(WorkerManager::new().create_worker(settings)).unwrap_err();
    assert_eq!(error.to_string(), "the worker thread panicked while it started");
}

#[test]
fn invalid_settings_are_named() {
    let fail = |settings| block_on(WorkerManager::new().create_worker(settings)).unwrap_err();

    #[expect(clippy::reversed_empty_ranges)]
    let error = fail(WorkerSettings { rtc_port_range: 2..=1, ..Default::default() });
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (io::ErrorKind::InvalidInput, "Invalid RTC ports range")
    );

    let net = NetConfig { receive_batch: 0, ..NetConfig::default() };
    let error = fail(WorkerSettings { net, ..Default::default() });
    assert_eq!(error.to_string(), "receive_batch is 0, but must be 1 to 64");

    let files =
        WorkerDtlsFiles { certificate: "/nonexistent/cert.pem".into(), private_key: "key.pem".into() };
    let error = fail(WorkerSettings { dtls_files: Some(files), ..Default::default() });
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().starts_with("can't read /nonexistent/cert.pem: "), "{error}");

    let mut settings = WorkerSettings::default();
    settings.dtls.mtu = 1;
    let error = fail(settings);
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}
