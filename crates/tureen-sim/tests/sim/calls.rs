use std::time::Duration;

use tureen_sim::{Call, LinkConfig, VideoConfig};

#[test]
fn smoke() {
    let mut call = Call::new(1);
    let link = LinkConfig::with_delay(Duration::from_millis(20));
    let nodes = call.join_all(&[link.clone(), link]);
    let video = call.produce_video(nodes[0], VideoConfig::default());
    let consumer = call.consume(nodes[1], &video);
    call.network.run_for(Duration::from_secs(5));
    println!("{:?}", call.network.observed(nodes[1]).len());
    println!("{:?}", call.network.session(nodes[1]).recv_stats(consumer.ssrc));
    println!("{:?}", call.network.session(nodes[0]).send_stats(video.ssrc));
    println!("{:?}", call.network.worker().drops());
    println!("{:?}", call.network.notifications());
    assert!(call.network.observed(nodes[1]).len() > 100);
}
