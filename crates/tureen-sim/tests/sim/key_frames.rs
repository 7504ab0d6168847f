//! Key frame requests for consumers that join late, resume or lose packets.

use std::time::Duration;

use tureen_engine::api::{ConsumerEvent, Notification, Request};
use tureen_sim::{Call, LinkConfig, Observed, Production, VideoConfig};

use crate::{MS, assert_numbered_like_the_source, even_video, good_link, received};

fn requests(call: &Call, production: &Production) -> u64 {
    call.network.session(production.node).send_stats(production.ssrc).unwrap().key_frame_requests
}

/// Asserts that the packet with the lowest sequence number starts a key frame.
fn assert_starts_with_key_frame(packets: &[Observed]) {
    let first = packets.iter().min_by_key(|packet| packet.seq).expect("there are packets");
    assert!(first.key_frame, "{first:?}");
}

#[test]
fn late_joiner_gets_a_key_frame_by_exactly_one_request() {
    let mut call = Call::new(1);
    let nodes = call.join_all(&[good_link(), good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let first = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(5));
    let before = requests(&call, &production);
    let joined_at = call.network.elapsed();
    let late = call.consume(nodes[2], &production);
    call.network.run_for(Duration::from_secs(5));

    assert_eq!(requests(&call, &production), before + 1);
    let packets = received(&call, &late);
    assert_starts_with_key_frame(&packets);
    // The request travels up, and the next frame down.
    assert!(
        packets[0].at - joined_at < 20 * MS + 34 * MS + 40 * MS + 10 * MS,
        "{:?}",
        packets[0].at - joined_at
    );
    assert_eq!(assert_numbered_like_the_source(&packets), 0);
    assert_eq!(assert_numbered_like_the_source(&received(&call, &first)), 0);
}

/// The initial estimate of 600 kbit/s suffices for the larger encodings of both cameras. Nothing in the first seconds
/// changes it, so that no layer changes, which would need another key frame.
#[test]
fn late_joiner_requests_a_key_frame_of_the_forwarded_encoding_only() {
    let mut call = Call::new(4);
    let nodes = call.join_all(&vec![good_link(); 3]);
    let encodings = [250, 950].map(|frame_bytes| VideoConfig { frame_bytes, ..VideoConfig::default() });
    let cameras = [nodes[0], nodes[1]].map(|node| call.produce_simulcast(node, &encodings));
    call.network.run_for(Duration::from_secs(5));
    let count_requests = |call: &Call| {
        let of = |camera: &Production, ssrc| {
            call.network.session(camera.node).send_stats(ssrc).unwrap().key_frame_requests
        };
        cameras.each_ref().map(|camera| [of(camera, camera.ssrc), of(camera, camera.ssrc + 2)])
    };
    let before = count_requests(&call);
    let late = cameras.each_ref().map(|camera| call.consume_paused(nodes[2], camera));
    for consumption in &late {
        call.request(Request::ResumeConsumer(consumption.id.clone()));
        call.network.run_for(MS);
    }
    call.network.run_for(Duration::from_secs(5));
    let expected = before.map(|[small, large]| [small, large + 1]);
    assert_eq!(count_requests(&call), expected, "before: {before:?}");
    for consumption in &late {
        assert_starts_with_key_frame(&received(&call, consumption));
    }
}

#[test]
fn many_late_joiners_at_once_share_one_request() {
    let mut call = Call::new(2);
    let nodes = call.join_all(&vec![good_link(); 12]);
    let production = call.produce_video(nodes[0], even_video());
    call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(5));
    let before = requests(&call, &production);
    let late: Vec<_> = nodes[2..].iter().map(|node| call.consume(*node, &production)).collect();
    call.network.run_for(Duration::from_secs(5));
    assert_eq!(requests(&call, &production), before + 1);
    for consumer in &late {
        assert_starts_with_key_frame(&received(&call, consumer));
    }
}

#[test]
fn lost_key_frame_request_is_repeated() {
    for seed in 0..5 {
        let mut call = Call::new(seed);
        let nodes = call.join_all(&[good_link(), good_link()]);
        let production = call.produce_video(nodes[0], even_video());
        call.network.run_for(Duration::from_secs(1));
        // Nothing from the engine reaches the sender for a while.
        call.network.set_links(nodes[0], good_link(), good_link().with_loss(1.0));
        let consumer = call.consume(nodes[1], &production);
        call.network.run_for(300 * MS);
        call.network.set_links(nodes[0], good_link(), good_link());
        call.network.run_for(Duration::from_secs(3));
        let packets = received(&call, &consumer);
        assert!(!packets.is_empty(), "seed {seed}: no key frame after three seconds");
        assert_starts_with_key_frame(&packets);
    }
}

#[test]
fn viewer_requests_a_key_frame() {
    let mut call = Call::new(4);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(3));
    let (before, at) = (requests(&call, &production), call.network.elapsed());
    call.network
        .with_session(nodes[1], |session, now| session.request_key_frame(now, consumer.ssrc))
        .unwrap();
    call.network.run_for(Duration::from_secs(1));
    assert_eq!(requests(&call, &production), before + 1);
    assert!(received(&call, &consumer).iter().any(|packet| packet.key_frame && packet.at > at));
}

#[test]
fn frequent_requests_of_a_viewer_are_limited_without_effect_on_others() {
    let mut call = Call::new(4);
    let nodes = call.join_all(&[good_link(), good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let greedy = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(3));
    let before = requests(&call, &production);
    for _ in 0..80 {
        let ask =
            call.network.with_session(nodes[1], |session, now| session.request_key_frame(now, greedy.ssrc));
        ask.unwrap();
        call.network.run_for(100 * MS);
    }
    let caused = requests(&call, &production) - before;
    assert!((2..=4).contains(&caused), "{caused} requests in 8 seconds");
    assert!(call.network.drops("excess-key-frame-request") > 60);

    let joined_at = call.network.elapsed();
    let late = call.consume(nodes[2], &production);
    call.network.run_for(300 * MS);
    let packets = received(&call, &late);
    assert_starts_with_key_frame(&packets);
    assert!(packets[0].at - joined_at < 110 * MS, "{:?}", packets[0].at - joined_at);
}

#[test]
fn consumer_that_is_paused_and_resumed_repeatedly_causes_few_key_frames() {
    let mut call = Call::new(5);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(3));
    let before = requests(&call, &production);
    for _ in 0..80 {
        call.request(Request::PauseConsumer(consumer.id.clone()));
        call.request(Request::ResumeConsumer(consumer.id.clone()));
        call.network.run_for(100 * MS);
    }
    let caused = requests(&call, &production) - before;
    assert!((2..=4).contains(&caused), "{caused} requests in 8 seconds");
    // The last request is repeated when the limit allows it.
    let at = call.network.elapsed();
    call.network.run_for(Duration::from_secs(8));
    assert!(received(&call, &consumer).iter().any(|packet| packet.key_frame && packet.at > at));
}

#[test]
fn key_frame_request_that_is_too_early_is_delayed() {
    let mut call = Call::new(6);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(3));
    let ask = |call: &mut Call| {
        let ask =
            call.network.with_session(nodes[1], |session, now| session.request_key_frame(now, consumer.ssrc));
        ask.unwrap();
    };
    ask(&mut call);
    call.network.run_for(400 * MS);
    let at = call.network.elapsed();
    ask(&mut call);
    call.network.run_for(Duration::from_secs(1));
    let packets = received(&call, &consumer);
    let second =
        packets.iter().find(|packet| packet.key_frame && packet.at > at).expect("a second key frame");
    assert!(second.at - at > 500 * MS, "{:?}", second.at - at);
}

#[test]
fn paused_consumer_gets_nothing_and_resumes_with_a_key_frame_and_no_gap() {
    let mut call = Call::new(5);
    let nodes = call.join_all(&[good_link(), good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let [paused, other] = [1, 2].map(|at| call.consume(nodes[at], &production));
    call.network.run_for(Duration::from_secs(3));
    call.request(Request::PauseConsumer(paused.id.clone()));
    call.network.run_for(100 * MS);
    let before = received(&call, &paused);
    call.network.run_for(Duration::from_secs(3));
    assert_eq!(received(&call, &paused).len(), before.len(), "a paused consumer gets nothing");

    let requests_before = requests(&call, &production);
    call.request(Request::ResumeConsumer(paused.id.clone()));
    call.network.run_for(Duration::from_secs(3));
    assert_eq!(requests(&call, &production), requests_before + 1);
    let all = received(&call, &paused);
    let after = &all[before.len()..];
    assert_starts_with_key_frame(after);
    assert_eq!(after[0].seq, before.last().unwrap().seq + 1, "the pause is no gap in the numbering");
    assert_eq!(assert_numbered_like_the_source(&before), 0);
    assert_eq!(assert_numbered_like_the_source(after), 0);
    assert_eq!(assert_numbered_like_the_source(&received(&call, &other)), 0);
}

#[test]
fn paused_producer_pauses_every_consumer() {
    let mut call = Call::new(6);
    let nodes = call.join_all(&[good_link(), good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumers = [1, 2].map(|at| call.consume(nodes[at], &production));
    call.network.run_for(Duration::from_secs(3));
    call.request(Request::PauseProducer(production.id.clone()));
    call.network.run_for(100 * MS);
    let before = consumers.each_ref().map(|consumer| received(&call, consumer));
    call.network.run_for(Duration::from_secs(3));
    call.request(Request::ResumeProducer(production.id.clone()));
    call.network.run_for(Duration::from_secs(3));
    for (consumer, before) in consumers.iter().zip(before) {
        let all = received(&call, consumer);
        let after = &all[before.len()..];
        assert_starts_with_key_frame(after);
        assert_eq!(after[0].seq, before.last().unwrap().seq + 1);
        assert_eq!(assert_numbered_like_the_source(after), 0);
        let events: Vec<_> = call
            .network
            .notifications()
            .iter()
            .filter_map(|(_, n)| match n {
                Notification::Consumer(id, event) if *id == consumer.id => Some(event),
                _ => None,
            })
            .collect();
        assert!(events.iter().any(|event| matches!(event, ConsumerEvent::ProducerPause)));
        assert!(events.iter().any(|event| matches!(event, ConsumerEvent::ProducerResume)));
    }
}

#[test]
fn consumer_created_before_its_producer_sends_starts_with_the_first_frame() {
    let mut call = Call::new(7);
    let nodes = call.join_all(&[LinkConfig::with_delay(10 * MS), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(2));
    let packets = received(&call, &consumer);
    assert_starts_with_key_frame(&packets);
    assert_eq!(packets[0].stamp.unwrap().frame, 0);
}

#[test]
fn closed_producer_closes_its_consumers() {
    let mut call = Call::new(8);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(1));
    call.request(Request::CloseProducer(production.id.clone()));
    let closed = call.network.notifications().iter().any(|(_, notification)| match notification {
        Notification::Consumer(id, ConsumerEvent::ProducerClose) => *id == consumer.id,
        _ => false,
    });
    assert!(closed);
    call.network.run_for(100 * MS);
    let count = received(&call, &consumer).len();
    call.network.run_for(Duration::from_secs(1));
    assert_eq!(received(&call, &consumer).len(), count);
    assert!(call.network.drops("no-producer") > 0, "packets of a closed Producer are dropped");
}

#[test]
fn consumer_resumed_soon_after_a_key_frame_starts_with_it() {
    let mut call = Call::new(8);
    let nodes = call.join_all(&vec![good_link(); 6]);
    let simple = call.produce_video(nodes[0], even_video());
    let encodings = [250, 950].map(|frame_bytes| VideoConfig { frame_bytes, ..VideoConfig::default() });
    let layered = call.produce_simulcast(nodes[1], &encodings);
    call.network.run_for(Duration::from_secs(5));

    for (production, encoding, receivers) in [(&simple, 0, &nodes[2..4]), (&layered, 2, &nodes[4..6])] {
        let count_requests = |call: &Call| {
            let session = call.network.session(production.node);
            session.send_stats(production.ssrc + encoding).unwrap().key_frame_requests
        };
        let before = count_requests(&call);
        let first = call.consume_paused(receivers[0], production);
        // An application may request a key frame while the remote endpoint still creates the consumer.
        call.request(Request::RequestKeyFrame(first.id.clone()));
        call.network.run_for(200 * MS);
        assert_eq!(count_requests(&call), before + 1);
        let resumed_at = call.network.elapsed();
        call.request(Request::ResumeConsumer(first.id.clone()));
        call.network.run_for(150 * MS);
        let second = call.consume(receivers[1], production);
        call.network.run_for(Duration::from_secs(2));

        assert_eq!(count_requests(&call), before + 1, "no further request");
        let packets = received(&call, &first);
        assert_starts_with_key_frame(&packets);
        // The delay is that of the link only.
        assert!(packets[0].at - resumed_at < 25 * MS, "{:?}", packets[0].at - resumed_at);
        for consumption in [&first, &second] {
            let packets = received(&call, consumption);
            assert_starts_with_key_frame(&packets);
            let seqs: Vec<_> = packets.iter().map(|packet| packet.seq).collect();
            assert!(
                seqs.windows(2).all(|pair| pair[1] == pair[0] + 1),
                "no gaps and no duplicates: {seqs:?}"
            );
        }
    }
}

#[test]
fn consumer_resumed_long_after_a_key_frame_requests_another() {
    let mut call = Call::new(9);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    call.network.run_for(Duration::from_secs(5));
    let before = requests(&call, &production);
    let consumer = call.consume_paused(nodes[1], &production);
    call.request(Request::RequestKeyFrame(consumer.id.clone()));
    call.network.run_for(Duration::from_secs(1));
    call.request(Request::ResumeConsumer(consumer.id.clone()));
    call.network.run_for(Duration::from_secs(1));
    assert_eq!(requests(&call, &production), before + 2);
    // After a pause the consumer continues with new packets, because stored ones would repeat earlier pictures.
    call.request(Request::PauseConsumer(consumer.id.clone()));
    call.network.run_for(100 * MS);
    call.request(Request::ResumeConsumer(consumer.id.clone()));
    call.network.run_for(Duration::from_secs(1));
    assert_eq!(requests(&call, &production), before + 3);
    let packets = received(&call, &consumer);
    let timestamps: Vec<_> = packets.iter().map(|packet| packet.timestamp).collect();
    assert!(timestamps.is_sorted_by_key(|timestamp| timestamp.wrapping_sub(timestamps[0])), "{timestamps:?}");
}
