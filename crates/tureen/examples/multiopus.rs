//! Surround sound: an endpoint receives 5.1 audio that arrives by plain RTP.
//!
//! Run `cargo run -p tureen --example multiopus`, then let a page made with mediasoup-client open
//! `ws://127.0.0.1:3000/music` and consume the producer of the message `ProducerAdded`. The other messages are those of
//! `echo.rs`. The server prints a GStreamer command that sends the audio. Of the browsers Chromium decodes `multiopus`,
//! but does not list it: the page has to add it to Chromium's offers and answers, as
//! `tests/browser/lib/example-client.js` does.

mod endpoint;

use std::num::{NonZeroU8, NonZeroU32};

use endpoint::{Connection, Endpoint, Failure, Request};
use serde::Serialize;
use tureen::prelude::*;

const PAYLOAD_TYPE: u8 = 100;
const SSRC: u32 = 1111;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let worker = WorkerManager::new().create_worker(WorkerSettings::default()).await?;
    endpoint::listen(move |_, connection| serve(worker.clone(), connection)).await
}

/// Messages to the endpoint in addition to responses.
#[derive(Serialize)]
#[serde(tag = "action", rename_all_fields = "camelCase")]
enum Notice {
    ProducerAdded { producer_id: ProducerId },
}

async fn serve(worker: Worker, mut connection: Connection) -> Result<(), Failure> {
    let router = worker.create_router(RouterOptions::new(vec![media_codec()])).await?;
    let mut options = PlainTransportOptions::new(endpoint::listen_info());
    // The first sender becomes the source.
    options.comedia = true;
    let source = router.create_plain_transport(options).await?;
    let producer = source.produce(ProducerOptions::new(MediaKind::Audio, source_parameters())).await?;
    println!("{}", gstreamer_command(source.tuple().local_port()));

    let (mut endpoint, init) = Endpoint::new(&router).await?;
    connection.send(&init).await?;
    connection.send(&Notice::ProducerAdded { producer_id: producer.id() }).await?;
    while let Some(request) = connection.receive::<Request>().await? {
        if let Some(answer) = endpoint.handle(request).await? {
            connection.send(&answer).await?;
        }
    }
    Ok(())
}

fn media_codec() -> RtpCodecCapability {
    RtpCodecCapability::Audio {
        mime_type: MimeTypeAudio::MultiChannelOpus,
        preferred_payload_type: None,
        clock_rate: NonZeroU32::new(48000).expect("not zero"),
        channels: NonZeroU8::new(6).expect("not zero"),
        parameters: surround(),
        rtcp_feedback: vec![],
    }
}

fn source_parameters() -> RtpParameters {
    RtpParameters {
        codecs: vec![RtpCodecParameters::Audio {
            mime_type: MimeTypeAudio::MultiChannelOpus,
            payload_type: PAYLOAD_TYPE,
            clock_rate: NonZeroU32::new(48000).expect("not zero"),
            channels: NonZeroU8::new(6).expect("not zero"),
            parameters: surround(),
            rtcp_feedback: vec![],
        }],
        encodings: vec![RtpEncodingParameters { ssrc: Some(SSRC), ..RtpEncodingParameters::default() }],
        ..RtpParameters::default()
    }
}

/// Four Opus streams, two of them stereo, and the mapping of their six channels to loudspeakers (RFC 7845 §5.1.1.2).
fn surround() -> RtpCodecParametersParameters {
    RtpCodecParametersParameters::from([
        ("useinbandfec", 1_u32.into()),
        ("channel_mapping", "0,4,1,2,3,5".into()),
        ("num_streams", 4_u32.into()),
        ("coupled_streams", 2_u32.into()),
    ])
}

fn gstreamer_command(port: u16) -> String {
    format!(
        "gst-launch-1.0 audiotestsrc ! audio/x-raw,channels=6 ! opusenc ! \
         rtpopuspay pt={PAYLOAD_TYPE} ssrc={SSRC} ! udpsink host=127.0.0.1 port={port}"
    )
}
