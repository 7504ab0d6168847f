//! Filter for a worker's log lines by `log_level` and `log_tags`, before the application's subscriber.

use std::sync::Arc;

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, NoSubscriber, Subscriber};
use tracing::{Dispatch, Event, Metadata, dispatcher};
use tureen_driver::log::LogFilter;

use crate::worker::{WorkerLogLevel, WorkerLogTag};

/// The log settings of one worker, shared by its handles and its thread. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LogSettings(Arc<LogFilter>);

impl LogSettings {
    pub(crate) fn new(level: WorkerLogLevel, tags: &[WorkerLogTag]) -> Self {
        Self(Arc::new(LogFilter::new(level, tags)))
    }

    /// Changes the given settings, for every line from now on.
    pub(crate) fn update(&self, level: Option<WorkerLogLevel>, tags: Option<&[WorkerLogTag]>) {
        self.0.update(level, tags);
    }

    /// Runs `thread` with these settings as a filter before `subscriber`.
    ///
    /// If there is no subscriber yet, one that the application sets later gets all lines.
    pub(super) fn apply<T>(&self, subscriber: Dispatch, thread: impl FnOnce() -> T) -> T {
        if subscriber.is::<NoSubscriber>() {
            return thread();
        }
        let filtered = Filtered { settings: self.clone(), subscriber };
        dispatcher::with_default(&Dispatch::new(filtered), thread)
    }
}

/// The application's subscriber behind the filter of one worker.
struct Filtered {
    settings: LogSettings,
    subscriber: Dispatch,
}

impl Subscriber for Filtered {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // `sometimes`, because the settings may change; `never` is final.
        match self.subscriber.register_callsite(metadata) {
            interest if interest.is_never() => interest,
            _ => Interest::sometimes(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        (metadata.is_span() || self.settings.0.allows(metadata)) && self.subscriber.enabled(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        self.subscriber.event(event);
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.subscriber.new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.subscriber.record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.subscriber.record_follows_from(span, follows);
    }

    fn enter(&self, span: &Id) {
        self.subscriber.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.subscriber.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.subscriber.clone_span(id)
    }

    fn try_close(&self, id: Id) -> bool {
        self.subscriber.try_close(id)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use parking_lot::Mutex;
    use tracing::Level;
    use tracing::field::{Field, Visit};
    use tureen_rtc::log;

    use super::*;

    /// A subscriber that records the messages of all lines.
    #[derive(Clone, Default)]
    pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

    impl Lines {
        /// Takes the recorded messages.
        pub(crate) fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock())
        }
    }

    struct Message<'a>(&'a mut Vec<String>);

    impl Visit for Message<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            if field.name() == "message" {
                self.0.push(format!("{value:?}"));
            }
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn event(&self, event: &Event<'_>) {
            event.record(&mut Message(&mut self.0.lock()));
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    /// Log lines that pass the filter, of one at each level without tag, with tag DTLS and with tag ICE.
    fn passing(level: WorkerLogLevel, tags: &[WorkerLogTag]) -> Vec<String> {
        let (lines, settings) = (Lines::default(), LogSettings::new(level, tags));
        settings.apply(Dispatch::new(lines.clone()), || {
            tracing::error!("error");
            tracing::warn!("warn");
            tracing::debug!("debug");
            tracing::error!(target: log::DTLS, "dtls error");
            tracing::warn!(target: log::DTLS, "dtls warn");
            tracing::debug!(target: log::ICE, "ice debug");
        });
        lines.take()
    }

    #[test]
    fn level_is_the_least_severity() {
        use WorkerLogTag::{Dtls, Ice};
        let tags = [Dtls, Ice];
        let all = ["error", "warn", "debug", "dtls error", "dtls warn", "ice debug"];
        assert_eq!(passing(WorkerLogLevel::Debug, &tags), all);
        assert_eq!(passing(WorkerLogLevel::Warn, &tags), ["error", "warn", "dtls error", "dtls warn"]);
        assert_eq!(passing(WorkerLogLevel::Error, &tags), ["error", "dtls error"]);
        assert!(passing(WorkerLogLevel::None, &tags).is_empty());
    }

    #[test]
    fn tags_choose_among_warnings_and_debug_lines() {
        let none = ["error", "warn", "debug", "dtls error"];
        assert_eq!(passing(WorkerLogLevel::Debug, &[]), none);
        let ice = ["error", "warn", "debug", "dtls error", "ice debug"];
        assert_eq!(passing(WorkerLogLevel::Debug, &[WorkerLogTag::Ice]), ice);
    }

    #[test]
    fn settings_change_one_by_one() {
        let (lines, settings) = (Lines::default(), LogSettings::new(WorkerLogLevel::Warn, &[]));
        settings.apply(Dispatch::new(lines.clone()), || {
            for (level, tags) in [
                (None, None),
                (None, Some([WorkerLogTag::Sctp].as_slice())),
                (Some(WorkerLogLevel::Error), None),
                (Some(WorkerLogLevel::Debug), None),
            ] {
                settings.update(level, tags);
                tracing::warn!(target: log::SCTP, "{level:?}, {tags:?}");
            }
        });
        assert_eq!(lines.take(), ["None, Some([Sctp])", "Some(Debug), None"]);
    }

    #[test]
    fn log_subscriber_keeps_its_own_filter() {
        struct Deaf(Lines);
        impl Subscriber for Deaf {
            fn enabled(&self, metadata: &Metadata<'_>) -> bool {
                *metadata.level() <= Level::ERROR
            }
            fn event(&self, event: &Event<'_>) {
                self.0.event(event);
            }
            fn new_span(&self, _: &Attributes<'_>) -> Id {
                Id::from_u64(1)
            }
            fn record(&self, _: &Id, _: &Record<'_>) {}
            fn record_follows_from(&self, _: &Id, _: &Id) {}
            fn enter(&self, _: &Id) {}
            fn exit(&self, _: &Id) {}
        }
        let (lines, settings) = (Lines::default(), LogSettings::new(WorkerLogLevel::Debug, &[]));
        settings.apply(Dispatch::new(Deaf(lines.clone())), || {
            tracing::error!("error");
            tracing::warn!("warn");
        });
        assert_eq!(lines.take(), ["error"]);
    }
}
