//! Queue and thread that carry events from the worker thread to the application's callbacks.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};
use tureen_engine::api::{
    ConsumerEvent, ConsumerId, DataConsumerEvent, DataConsumerId, Notification, ProducerEvent, ProducerId,
    RtpObserverEvent, RtpObserverId, TransportEvent, TransportId,
};

use crate::worker::ExitError;

/// Receiver of one object's events, on the dispatcher thread.
pub(crate) trait Sink<Event>: Send + Sync {
    /// Handles one event and calls the application's callbacks.
    fn on_event(&self, event: Event);

    /// True if the object is closed.
    fn is_closed(&self) -> bool;
}

/// Called with the result of the worker thread, last of all on the dispatcher thread.
pub(super) type OnExit = Box<dyn FnOnce(Result<(), ExitError>) + Send>;

/// Queues the events of one worker for its dispatcher thread. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    ready: Condvar,
}

/// Two queues that are read as one, in the order of the numbers of their messages. With the lossy messages apart, the
/// oldest one is found at once.
#[derive(Debug)]
struct Queue {
    lasting: VecDeque<(u64, Message)>,
    lossy: VecDeque<(u64, Message)>,
    next: u64,
    capacity: usize,
    dropped: u64,
    /// False after the last message, [`Message::Exited`].
    open: bool,
}

/// Message to the dispatcher thread.
#[derive(Debug)]
pub(crate) enum Message {
    Transport(TransportId, Change<TransportEvent>),
    Producer(ProducerId, Change<ProducerEvent>),
    Consumer(ConsumerId, Change<ConsumerEvent>),
    DataConsumer(DataConsumerId, Change<DataConsumerEvent>),
    RtpObserver(RtpObserverId, Change<RtpObserverEvent>),
    Exited(Result<(), ExitError>),
}

/// Change of one object's subscription, or an event for it.
pub(crate) enum Change<Event> {
    /// An object is being created: hold its events, unless an open object with this identifier gets them.
    Hold,
    /// The worker has created the object: deliver the held events to this receiver, and all later ones.
    Deliver(Weak<dyn Sink<Event>>),
    /// The object was not created.
    Withdraw,
    /// An object with this identifier is closed: discard its events.
    Forget,
    /// Event of the object.
    Event(Event),
}

/// Identifier of a kind of object that has events.
pub(crate) trait HasEvents: Clone {
    type Event;

    /// The message with a change for this object.
    fn message(self, change: Change<Self::Event>) -> Message;
}

/// An event that may be droppable.
trait Lossy {
    /// True if the event may be dropped, because the next one supersedes it.
    fn may_be_lost(&self) -> bool;
}

macro_rules! has_events {
    ($id:ty, $variant:ident, $event:ty, $lossy:pat) => {
        impl HasEvents for $id {
            type Event = $event;

            fn message(self, change: Change<$event>) -> Message {
                Message::$variant(self, change)
            }
        }

        impl Lossy for $event {
            fn may_be_lost(&self) -> bool {
                matches!(self, $lossy)
            }
        }
    };
}

has_events!(
    TransportId,
    Transport,
    TransportEvent,
    TransportEvent::Bwe { .. } | TransportEvent::Probation { .. } | TransportEvent::Rtcp(_)
);
has_events!(ProducerId, Producer, ProducerEvent, ProducerEvent::Score(_) | ProducerEvent::Trace(_));
has_events!(
    ConsumerId,
    Consumer,
    ConsumerEvent,
    ConsumerEvent::Score(_) | ConsumerEvent::Trace(_) | ConsumerEvent::Rtp(_)
);
has_events!(
    DataConsumerId,
    DataConsumer,
    DataConsumerEvent,
    DataConsumerEvent::Message(_) | DataConsumerEvent::SctpSendBufferFull
);
has_events!(RtpObserverId, RtpObserver, RtpObserverEvent, RtpObserverEvent::Volumes(_));

impl Dispatcher {
    /// A queue for at most `capacity` droppable events. [`run`] reads it.
    pub(super) fn new(capacity: usize) -> Self {
        let queue = Queue {
            lasting: VecDeque::new(),
            lossy: VecDeque::new(),
            next: 0,
            capacity,
            dropped: 0,
            open: true,
        };
        Self { shared: Arc::new(Shared { queue: Mutex::new(queue), ready: Condvar::new() }) }
    }

    /// Holds the events of an object until [`HeldEvents::deliver_to`]. Call this before the request that creates the
    /// object is sent.
    pub(crate) fn hold<Id: HasEvents>(&self, id: Id) -> HeldEvents<'_, Id> {
        self.post(id.clone().message(Change::Hold));
        HeldEvents { dispatcher: self, id: Some(id) }
    }

    /// Discards the events of an object, because it is closed.
    pub(crate) fn forget<Id: HasEvents>(&self, id: Id) {
        self.post(id.message(Change::Forget));
    }

    /// Queues an event of the engine.
    pub(super) fn notify(&self, notification: Notification) {
        self.post(match notification {
            Notification::Transport(id, event) => Message::Transport(id, Change::Event(event)),
            Notification::Producer(id, event) => Message::Producer(id, Change::Event(event)),
            Notification::Consumer(id, event) => Message::Consumer(id, Change::Event(event)),
            Notification::DataConsumer(id, event) => Message::DataConsumer(id, Change::Event(event)),
            Notification::RtpObserver(id, event) => Message::RtpObserver(id, Change::Event(event)),
        });
    }

    /// Queues the end of the worker thread. Later messages are refused.
    pub(super) fn exit(&self, result: Result<(), ExitError>) {
        self.post(Message::Exited(result));
    }

    fn post(&self, message: Message) {
        self.shared.queue.lock().push(message);
        self.shared.ready.notify_one();
    }

    /// Waits for the next message. Also returns how many events were dropped before it.
    fn next(&self) -> (Message, u64) {
        let mut queue = self.shared.queue.lock();
        loop {
            if let Some(message) = queue.pop() {
                return (message, std::mem::take(&mut queue.dropped));
            }
            self.shared.ready.wait(&mut queue);
        }
    }
}

impl Queue {
    fn push(&mut self, message: Message) {
        if !self.open {
            return;
        }
        self.open = !matches!(message, Message::Exited(_));
        let number = self.next;
        self.next += 1;
        if message.may_be_lost() {
            if self.lossy.len() >= self.capacity {
                self.lossy.pop_front();
                self.dropped += 1;
            }
            self.lossy.push_back((number, message));
        } else {
            self.lasting.push_back((number, message));
        }
    }

    fn pop(&mut self) -> Option<Message> {
        let lossy_first = match (self.lasting.front(), self.lossy.front()) {
            (Some((lasting, _)), Some((lossy, _))) => lossy < lasting,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let queue = if lossy_first { &mut self.lossy } else { &mut self.lasting };
        queue.pop_front().map(|(_, message)| message)
    }
}

impl Message {
    fn may_be_lost(&self) -> bool {
        match self {
            Self::Transport(_, Change::Event(event)) => event.may_be_lost(),
            Self::Producer(_, Change::Event(event)) => event.may_be_lost(),
            Self::Consumer(_, Change::Event(event)) => event.may_be_lost(),
            Self::DataConsumer(_, Change::Event(event)) => event.may_be_lost(),
            Self::RtpObserver(_, Change::Event(event)) => event.may_be_lost(),
            _ => false,
        }
    }
}

/// The held events of an object that is being created. Dropping this discards them.
#[derive(Debug)]
pub(crate) struct HeldEvents<'a, Id: HasEvents> {
    dispatcher: &'a Dispatcher,
    id: Option<Id>,
}

impl<Id: HasEvents> HeldEvents<'_, Id> {
    /// Delivers the held events to `sink` in order, and all later ones. The sink is not kept alive.
    pub(crate) fn deliver_to(mut self, sink: Weak<dyn Sink<Id::Event>>) {
        if let Some(id) = self.id.take() {
            self.dispatcher.post(id.message(Change::Deliver(sink)));
        }
    }
}

impl<Id: HasEvents> Drop for HeldEvents<'_, Id> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.dispatcher.post(id.message(Change::Withdraw));
        }
    }
}

/// Runs the dispatcher thread: delivers events until the worker thread has ended. A panic of a callback is caught and
/// logged.
pub(super) fn run(dispatcher: &Dispatcher, held_events: usize, on_exit: OnExit) {
    let mut transports = Registry::new(held_events);
    let mut producers = Registry::new(held_events);
    let mut consumers = Registry::new(held_events);
    let mut data_consumers = Registry::new(held_events);
    let mut observers = Registry::new(held_events);
    loop {
        let (message, dropped) = dispatcher.next();
        if dropped > 0 {
            tracing::warn!(dropped, "callbacks are too slow, score, volume and trace events were dropped");
        }
        match message {
            Message::Transport(id, change) => transports.apply(id, change),
            Message::Producer(id, change) => producers.apply(id, change),
            Message::Consumer(id, change) => consumers.apply(id, change),
            Message::DataConsumer(id, change) => data_consumers.apply(id, change),
            Message::RtpObserver(id, change) => observers.apply(id, change),
            Message::Exited(result) => return shielded(|| on_exit(result)),
        }
    }
}

/// Subscriptions to the events of one kind of object.
struct Registry<Id, Event> {
    subscriptions: HashMap<Id, Subscription<Event>>,
    held_events: usize,
}

/// Subscription of one identifier. An application may create several objects with one identifier at a time, of which the
/// worker accepts one.
struct Subscription<Event> {
    /// Receiver of the object that the worker has created.
    sink: Option<Weak<dyn Sink<Event>>>,
    /// Objects that are being created.
    holds: usize,
    held: VecDeque<Event>,
}

impl<Id: Eq + Hash, Event: Lossy> Registry<Id, Event> {
    fn new(held_events: usize) -> Self {
        Self { subscriptions: HashMap::new(), held_events }
    }

    fn apply(&mut self, id: Id, change: Change<Event>) {
        if let Change::Hold = change {
            let new = || Subscription { sink: None, holds: 0, held: VecDeque::new() };
            self.subscriptions.entry(id).or_insert_with(new).holds += 1;
            return;
        }
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        match change {
            Change::Hold => {}
            Change::Deliver(sink) => {
                subscription.holds -= 1;
                // Replaces the receiver of an earlier object, which the worker has closed, because it has created this
                // one. An object that was closed meanwhile stays unsubscribed.
                if is_open(&sink) {
                    std::mem::take(&mut subscription.held)
                        .into_iter()
                        .for_each(|event| deliver(&sink, event));
                    subscription.sink = Some(sink);
                }
            }
            Change::Withdraw => subscription.holds -= 1,
            Change::Forget => {
                // The closed object may be an earlier one.
                if !subscription.sink.as_ref().is_some_and(is_open) {
                    subscription.sink = None;
                }
            }
            Change::Event(event) => match &subscription.sink {
                Some(sink) => deliver(sink, event),
                None => subscription.hold(event, self.held_events),
            },
        }
        if subscription.sink.is_none() && subscription.holds == 0 {
            self.subscriptions.remove(&id);
        }
    }
}

impl<Event: Lossy> Subscription<Event> {
    fn hold(&mut self, event: Event, max: usize) {
        if self.held.len() >= max
            && let Some(oldest) = self.held.iter().position(Lossy::may_be_lost)
        {
            self.held.remove(oldest);
        }
        self.held.push_back(event);
    }
}

fn is_open<Event>(sink: &Weak<dyn Sink<Event>>) -> bool {
    sink.upgrade().is_some_and(|sink| !sink.is_closed())
}

fn deliver<Event>(sink: &Weak<dyn Sink<Event>>, event: Event) {
    if let Some(sink) = sink.upgrade() {
        // Shielded with the drop of `sink`, because that may drop the last handle.
        shielded(move || sink.on_event(event));
    }
}

fn shielded(callback: impl FnOnce()) {
    // Unwind safe: the callback owns its state, and the handles hold no lock while they call it.
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        tracing::error!("a callback panicked");
    }
}

impl<Event> std::fmt::Debug for Change<Event> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hold => "Hold",
            Self::Deliver(_) => "Deliver",
            Self::Withdraw => "Withdraw",
            Self::Forget => "Forget",
            Self::Event(_) => "Event",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use tureen_engine::api::ProducerScore;

    struct Recorder(mpsc::Sender<String>, AtomicBool);

    impl Sink<ProducerEvent> for Recorder {
        fn on_event(&self, event: ProducerEvent) {
            let text = match event {
                ProducerEvent::Score(scores) => format!("score {}", scores[0].score),
                ProducerEvent::VideoOrientation(orientation) => format!("turned {}", orientation.rotation()),
                ProducerEvent::Trace(_) => panic!("a callback that panics"),
            };
            self.0.send(text).unwrap();
        }

        fn is_closed(&self) -> bool {
            self.1.load(Ordering::SeqCst)
        }
    }

    fn score(score: u8) -> Notification {
        let scores = vec![ProducerScore { encoding_idx: 0, ssrc: 1, rid: None, score }];
        Notification::Producer("producer".into(), ProducerEvent::Score(scores))
    }

    fn turned(quarter_turns: u8) -> Notification {
        let orientation = tureen_rtc::wire::rtp::extension::VideoOrientation {
            back_camera: false,
            flip: false,
            quarter_turns,
        };
        Notification::Producer("producer".into(), ProducerEvent::VideoOrientation(orientation))
    }

    fn panicking() -> Notification {
        let event = tureen_engine::api::MediaTraceEvent {
            timestamp_ms: 0,
            direction: crate::data_structures::TraceEventDirection::In,
            data: tureen_engine::api::MediaTraceData::Nack,
        };
        Notification::Producer("producer".into(), ProducerEvent::Trace(event))
    }

    /// Runs the dispatcher on the queued messages and returns the events that the sink received.
    fn finish(
        dispatcher: &Dispatcher,
        events: mpsc::Receiver<String>,
        recorder: Arc<Recorder>,
    ) -> Vec<String> {
        dispatcher.exit(Ok(()));
        let running = dispatcher.clone();
        thread::spawn(move || run(&running, 4, Box::new(|result| result.unwrap()))).join().unwrap();
        drop(recorder);
        events.iter().collect()
    }

    fn recorder() -> (Arc<Recorder>, Weak<dyn Sink<ProducerEvent>>, mpsc::Receiver<String>) {
        let (sender, events) = mpsc::channel();
        let recorder = Arc::new(Recorder(sender, AtomicBool::new(false)));
        let weak: Weak<Recorder> = Arc::downgrade(&recorder);
        (recorder, weak, events)
    }

    /// A registry that counts the changes of its single producer.
    fn registry() -> impl FnMut(Change<ProducerEvent>) -> usize {
        let mut registry = Registry::<ProducerId, ProducerEvent>::new(4);
        move |change| {
            registry.apply("producer".into(), change);
            registry.subscriptions.len()
        }
    }

    fn event(quarter_turns: u8) -> Change<ProducerEvent> {
        match turned(quarter_turns) {
            Notification::Producer(_, event) => Change::Event(event),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn object_that_the_worker_has_created_gets_the_events_of_its_identifier() {
        for forgotten_first in [true, false] {
            let mut apply = registry();
            let (old, old_sink, old_events) = recorder();
            let (_new, sink, events) = recorder();
            apply(Change::Hold);
            apply(Change::Deliver(old_sink));
            apply(Change::Hold);
            old.1.store(true, Ordering::SeqCst);
            let deliver = Change::Deliver(sink);
            if forgotten_first {
                apply(Change::Forget);
                apply(event(1));
                apply(deliver);
            } else {
                apply(deliver);
                apply(event(1));
                apply(Change::Forget);
            }
            apply(event(2));
            assert_eq!(
                (events.try_iter().count(), old_events.try_iter().count()),
                (2, 0),
                "{forgotten_first}"
            );
        }
    }

    #[test]
    fn of_two_creations_at_once_the_accepted_one_gets_the_events() {
        let mut apply = registry();
        let (recorder, sink, events) = recorder();
        apply(Change::Hold);
        apply(Change::Hold);
        apply(Change::Withdraw);
        apply(event(1));
        apply(Change::Deliver(sink));
        assert_eq!(events.try_iter().count(), 1);
        recorder.1.store(true, Ordering::SeqCst);
        assert_eq!(apply(Change::Forget), 0, "nothing is kept");
    }

    #[test]
    fn object_that_was_closed_before_its_events_were_delivered_is_not_kept() {
        let mut apply = registry();
        let (recorder, sink, events) = recorder();
        apply(Change::Hold);
        recorder.1.store(true, Ordering::SeqCst);
        apply(Change::Forget);
        assert_eq!(apply(Change::Deliver(sink)), 0);
        apply(event(1));
        assert_eq!(events.try_iter().count(), 0);
    }

    #[test]
    fn second_object_of_an_identifier_takes_no_events_of_the_first() {
        let dispatcher = Dispatcher::new(8);
        let (recorder, sink, events) = recorder();
        dispatcher.hold(ProducerId::from("producer")).deliver_to(sink);
        let refused = dispatcher.hold(ProducerId::from("producer"));
        dispatcher.notify(turned(1));
        drop(refused);
        dispatcher.notify(turned(2));
        assert_eq!(finish(&dispatcher, events, recorder).len(), 2);
    }

    #[test]
    fn events_are_held_until_there_is_a_sink_and_keep_their_order() {
        let dispatcher = Dispatcher::new(8);
        let (recorder, sink, events) = recorder();
        let held = dispatcher.hold(ProducerId::from("producer"));
        dispatcher.notify(score(1));
        dispatcher.notify(turned(1));
        held.deliver_to(sink);
        dispatcher.notify(score(2));
        assert_eq!(finish(&dispatcher, events, recorder), ["score 1", "turned 90", "score 2"]);
    }

    #[test]
    fn full_queue_drops_the_oldest_scores_and_no_change_of_state() {
        let dispatcher = Dispatcher::new(2);
        let (recorder, sink, events) = recorder();
        dispatcher.hold(ProducerId::from("producer")).deliver_to(sink);
        for number in 1..=3 {
            dispatcher.notify(turned(number));
            dispatcher.notify(score(number));
        }
        assert_eq!(dispatcher.shared.queue.lock().dropped, 1);
        let expected = ["turned 90", "turned 180", "score 2", "turned 270", "score 3"];
        assert_eq!(finish(&dispatcher, events, recorder), expected);
    }

    #[test]
    fn failed_creation_forgets_its_events() {
        let dispatcher = Dispatcher::new(8);
        let (recorder, sink, events) = recorder();
        let held = dispatcher.hold(ProducerId::from("producer"));
        dispatcher.notify(score(1));
        drop(held);
        dispatcher.hold(ProducerId::from("producer")).deliver_to(sink);
        dispatcher.notify(score(2));
        assert_eq!(finish(&dispatcher, events, recorder), ["score 2"]);
    }

    #[test]
    fn panicking_callback_does_not_stop_the_others() {
        let dispatcher = Dispatcher::new(8);
        let (recorder, sink, events) = recorder();
        dispatcher.hold(ProducerId::from("producer")).deliver_to(sink);
        dispatcher.notify(panicking());
        dispatcher.notify(score(1));
        assert_eq!(finish(&dispatcher, events, recorder), ["score 1"]);
    }
}
