//! Every type reads and writes the JSON that the `mediasoup-types` crate reads and writes.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

/// Checks that both crates read `json`, write the same, and read the output of each other.
#[track_caller]
fn assert_same<Ours, Theirs>(json: Value)
where
    Ours: Serialize + DeserializeOwned + Debug,
    Theirs: Serialize + DeserializeOwned + Debug,
{
    let ours: Ours = serde_json::from_value(json.clone()).expect("ours reads it");
    let theirs: Theirs = serde_json::from_value(json.clone()).expect("theirs reads it");
    let (our_text, their_text) =
        (serde_json::to_string(&ours).unwrap(), serde_json::to_string(&theirs).unwrap());
    assert_eq!(our_text, their_text);
    assert_eq!(serde_json::to_string(&serde_json::from_str::<Ours>(&their_text).unwrap()).unwrap(), our_text);
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
}

/// Checks that neither crate reads `json`.
#[track_caller]
fn assert_both_refuse<Ours, Theirs>(json: Value)
where
    Ours: DeserializeOwned + Debug,
    Theirs: DeserializeOwned + Debug,
{
    serde_json::from_value::<Ours>(json.clone()).expect_err("ours refuses it");
    serde_json::from_value::<Theirs>(json).expect_err("theirs refuses it");
}

macro_rules! same {
    ($module:ident::$name:ident: $($json:tt),+ $(,)?) => {
        $(assert_same::<$module::$name, mediasoup_types::$module::$name>(json!($json));)+
    };
}

macro_rules! refused {
    ($module:ident::$name:ident: $($json:tt),+ $(,)?) => {
        $(assert_both_refuse::<$module::$name, mediasoup_types::$module::$name>(json!($json));)+
    };
}

#[test]
fn transport_types_have_the_same_json() {
    same!(data_structures::ListenInfo:
    { "protocol": "udp", "ip": "0.0.0.0", "exposeInternalIp": false },
    {
        "protocol": "tcp", "ip": "::1", "announcedAddress": "sfu.example", "exposeInternalIp": true, "port": 4443,
        "portRange": { "start": 1, "end": 2 }, "flags": { "ipv6Only": true, "udpReusePort": false },
        "sendBufferSize": 1, "recvBufferSize": 2
    });
    same!(data_structures::SocketFlags: { "ipv6Only": false, "udpReusePort": true });
    same!(data_structures::Protocol: "tcp", "udp");
    same!(data_structures::IceRole: "controlled", "controlling");
    same!(data_structures::IceParameters:
        { "usernameFragment": "u", "password": "p", "iceLite": true },
        { "usernameFragment": "u", "password": "p" });
    same!(data_structures::IceCandidateType: "host", "srflx", "prflx", "relay");
    same!(data_structures::IceCandidateTcpType: "passive");
    same!(data_structures::IceCandidate:
    { "foundation": "f", "priority": 7, "address": "1.2.3.4", "protocol": "udp", "port": 9, "type": "host" },
    {
        "foundation": "f", "priority": 7, "address": "a.example", "protocol": "tcp", "port": 9, "type": "host",
        "tcpType": "passive"
    });
    same!(data_structures::IceState: "new", "connected", "completed", "disconnected");
    same!(data_structures::TransportTuple:
        { "localAddress": "1.2.3.4", "localPort": 1, "protocol": "udp" },
        { "localAddress": "1.2.3.4", "localPort": 1, "remoteIp": "5.6.7.8", "remotePort": 2, "protocol": "tcp" });
    same!(data_structures::DtlsState: "new", "connecting", "connected", "failed", "closed");
    same!(data_structures::SctpState: "new", "connecting", "connected", "failed", "closed");
    same!(data_structures::DtlsRole: "auto", "client", "server");
}

#[test]
fn fingerprints_have_the_same_json() {
    for (algorithm, len) in
        [("sha-1", 20), ("sha-224", 28), ("sha-256", 32), ("sha-384", 48), ("sha-512", 64)]
    {
        let value = (0..len).map(|i| format!("{:02x}", i * 3)).collect::<Vec<_>>().join(":");
        same!(data_structures::DtlsFingerprint: { "algorithm": algorithm, "value": value });
        same!(data_structures::DtlsParameters:
            { "role": "client", "fingerprints": [{ "value": value, "algorithm": algorithm }] });
    }
    refused!(data_structures::DtlsFingerprint:
        { "algorithm": "sha-1", "value": "0D:88" },
        { "algorithm": "sha-256" },
        { "algorithm": "md5", "value": "0D:88" });
}

#[test]
fn trace_types_have_the_same_json() {
    same!(data_structures::TraceEventDirection: "in", "out");
    same!(data_structures::RtpPacketTraceInfo:
    {
        "payloadType": 1, "sequenceNumber": 2, "timestamp": 3, "marker": true, "ssrc": 4, "isKeyFrame": false,
        "size": 5, "payloadSize": 6, "spatialLayer": 7, "temporalLayer": 8
    },
    {
        "payloadType": 1, "sequenceNumber": 2, "timestamp": 3, "marker": true, "ssrc": 4, "isKeyFrame": true,
        "size": 5, "payloadSize": 6, "spatialLayer": 7, "temporalLayer": 8, "mid": "0", "rid": "r", "rrid": "s",
        "wideSequenceNumber": 9, "isRtx": true
    });
    same!(data_structures::SsrcTraceInfo: { "ssrc": 1 });
    same!(data_structures::BweTraceInfo:
        { "desiredBitrate": 1, "minBitrate": 2, "maxBitrate": 3, "availableBitrate": 4 });
    same!(data_structures::SrTraceInfo:
        { "ssrc": 1, "ntpSec": 2, "ntpFrac": 3, "rtpTs": 4, "packetCount": 5, "octetCount": 6 });
}

#[test]
fn media_types_have_the_same_json() {
    same!(rtp_parameters::MediaKind: "audio", "video");
    same!(rtp_parameters::MimeTypeAudio:
        "audio/opus", "audio/multiopus", "audio/PCMU", "audio/pcma", "audio/ISAC", "audio/G722", "audio/iLBC",
        "audio/SILK", "audio/CN", "audio/telephone-event", "audio/rtx", "audio/red");
    same!(rtp_parameters::MimeTypeVideo:
        "video/VP8", "video/vp9", "video/H264", "video/AV1", "video/rtx", "video/red", "video/ulpfec");
    same!(rtp_parameters::MimeType: "audio/OPUS", "video/VP8");
    refused!(rtp_parameters::MimeTypeAudio: "audio/foo", "video/VP8", 1);
    refused!(rtp_parameters::MimeTypeVideo: "video/foo", "audio/opus", null);
    refused!(rtp_parameters::MimeType: "audio/foo", "text/plain");
    assert_eq!(json!(rtp_parameters::MimeTypeVideo::H265), json!("video/H265"));
}

#[test]
fn codec_types_have_the_same_json() {
    same!(rtp_parameters::RtpCodecParametersParametersValue: "42e01f", 1, "");
    refused!(rtp_parameters::RtpCodecParametersParametersValue: null);
    // The Node library accepts these values; the crate does not.
    for other in [json!(-1.0), json!(1.5), json!(true), json!([1, -2])] {
        let ours: rtp_parameters::RtpCodecParametersParametersValue =
            serde_json::from_value(other.clone()).unwrap();
        assert_eq!(json!(ours), other);
    }
    same!(rtp_parameters::RtpCodecParametersParameters: {}, { "z": "1", "apt": 101, "a": "" });
    same!(rtp_parameters::RtcpFeedback:
        { "type": "nack", "parameter": "" }, { "type": "nack", "parameter": "pli" }, { "type": "goog-remb" },
        { "type": "ccm", "parameter": "fir" }, { "type": "transport-cc" }, { "type": "nack", "parameter": "foo" },
        { "type": "unknown", "parameter": "" });
    refused!(rtp_parameters::RtcpFeedback: {}, { "type": "nack", "foo": "" }, { "parameter": "pli" });
    same!(rtp_parameters::RtpCodecParameters:
    { "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2 },
    {
        "mimeType": "video/H264", "payloadType": 102, "clockRate": 90000,
        "parameters": { "packetization-mode": 1, "profile-level-id": "42e01f" },
        "rtcpFeedback": [{ "type": "nack", "parameter": "pli" }]
    });
    refused!(rtp_parameters::RtpCodecParameters:
        { "mimeType": "video/VP8", "payloadType": 256, "clockRate": 90000 },
        { "mimeType": "video/VP8", "payloadType": 96, "clockRate": 0 },
        { "mimeType": "audio/opus", "payloadType": 96, "clockRate": 48000, "channels": 0 });
    same!(rtp_parameters::RtpCodecCapability:
    { "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2 },
    {
        "kind": "video", "mimeType": "video/VP9", "clockRate": 90000, "preferredPayloadType": 98,
        "parameters": { "profile-id": 2 }, "rtcpFeedback": [{ "type": "nack", "parameter": "" }]
    });
    refused!(rtp_parameters::RtpCodecCapability: { "kind": "audio", "mimeType": "video/VP8", "clockRate": 90000 });
    same!(rtp_parameters::RtpCodecCapabilityFinalized:
    {
        "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2, "preferredPayloadType": 100,
        "parameters": {}, "rtcpFeedback": []
    },
    {
        "kind": "video", "mimeType": "video/rtx", "clockRate": 90000, "preferredPayloadType": 98,
        "parameters": { "apt": 97 }, "rtcpFeedback": []
    });
    refused!(rtp_parameters::RtpCodecCapabilityFinalized:
        { "kind": "video", "mimeType": "video/VP8", "clockRate": 90000, "parameters": {}, "rtcpFeedback": [] });
}

#[test]
fn header_extension_types_have_the_same_json() {
    let uris = [
        "urn:ietf:params:rtp-hdrext:sdes:mid",
        "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
        "urn:3gpp:video-orientation",
        "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
        "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
        "urn:mediasoup:params:rtp-hdrext:packet-id",
    ];
    for uri in uris {
        same!(rtp_parameters::RtpHeaderExtensionUri: uri);
        same!(rtp_parameters::RtpHeaderExtensionParameters: { "uri": uri, "id": 3, "encrypt": false });
        same!(rtp_parameters::RtpHeaderExtension:
            { "kind": "audio", "uri": uri, "preferredId": 3, "preferredEncrypt": true, "direction": "recvonly" });
    }
    refused!(rtp_parameters::RtpHeaderExtensionUri: "urn:foo", "URN:3GPP:VIDEO-ORIENTATION");
    same!(rtp_parameters::RtpHeaderExtensionDirection: "sendrecv", "sendonly", "recvonly", "inactive");
}

#[test]
fn rtp_parameters_have_the_same_json() {
    same!(rtp_parameters::RtcpParameters: { "reducedSize": true }, { "cname": "c", "reducedSize": false });
    same!(rtp_parameters::RtpEncodingParametersRtx: { "ssrc": 1 });
    same!(rtp_parameters::RtpEncodingParameters:
    {},
    { "scalabilityMode": "S1T1" },
    {
        "ssrc": 1, "rid": "h", "codecPayloadType": 2, "rtx": { "ssrc": 3 }, "dtx": true,
        "scalabilityMode": "L3T3_KEY", "maxBitrate": 5_000_000_000_u64
    });
    same!(rtp_parameters::RtpParameters:
    { "codecs": [], "headerExtensions": [], "encodings": [], "rtcp": { "reducedSize": true } },
    {
        "mid": "0", "msid": "stream track",
        "codecs": [{ "mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000 }],
        "headerExtensions": [{ "uri": "urn:3gpp:video-orientation", "id": 4, "encrypt": false }],
        "encodings": [{ "ssrc": 1 }, { "rid": "m" }],
        "rtcp": { "cname": "c", "reducedSize": true }
    });
    let capabilities = json!({
        "codecs": [{
            "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2, "preferredPayloadType": 100,
            "parameters": {}, "rtcpFeedback": []
        }],
        "headerExtensions": [{
            "kind": "audio", "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "preferredId": 1, "preferredEncrypt": false,
            "direction": "sendrecv"
        }]
    });
    same!(rtp_parameters::RtpCapabilities: capabilities);
    same!(rtp_parameters::RtpCapabilitiesFinalized: capabilities);
}

#[test]
fn documented_defaults_may_be_left_out() {
    let parameters: rtp_parameters::RtpParameters = serde_json::from_value(json!({
        "codecs": [{ "mimeType": "audio/PCMU", "payloadType": 0, "clockRate": 8000 }],
        "headerExtensions": [{ "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1 }]
    }))
    .unwrap();
    assert!(parameters.encodings.is_empty() && parameters.rtcp.reduced_size);
    assert!(!parameters.header_extensions[0].encrypt);
    assert_eq!(
        json!(parameters.codecs[0]),
        json!({
            "mimeType": "audio/PCMU", "payloadType": 0, "clockRate": 8000, "channels": 1,
            "parameters": {}, "rtcpFeedback": []
        })
    );
}

#[test]
fn scalability_modes_have_the_same_json() {
    for kind in ["L", "S"] {
        for spatial in 1..=4 {
            for temporal in 1..=4 {
                for suffix in ["", "h", "_KEY", "_KEY_SHIFT", "x"] {
                    let mode = format!("{kind}{spatial}T{temporal}{suffix}");
                    same!(scalability_modes::ScalabilityMode: mode);
                    let ours: scalability_modes::ScalabilityMode = mode.parse().unwrap();
                    let theirs: mediasoup_types::scalability_modes::ScalabilityMode = mode.parse().unwrap();
                    assert_eq!(ours.spatial_layers(), theirs.spatial_layers());
                    assert_eq!(ours.temporal_layers(), theirs.temporal_layers());
                    assert_eq!(ours.ksvc(), theirs.ksvc());
                }
            }
        }
    }
    same!(scalability_modes::ScalabilityMode: "L1T20", "L12T3", "L2T200");
    refused!(scalability_modes::ScalabilityMode: "", "foo", "S0T1", "S1T0", "S200T3", null);
}

#[test]
fn sctp_and_srtp_types_have_the_same_json() {
    same!(sctp_parameters::SctpParameters: {
        "port": 5000, "maxSendMessageSize": 1, "maxReceiveMessageSize": 2, "sendBufferSize": 3,
        "perStreamSendQueueLimit": 4, "maxReceiverWindowBufferSize": 5, "isDataChannel": true,
        "OS": 1024, "MIS": 1024, "maxMessageSize": 262144
    });
    same!(sctp_parameters::SctpNegotiatedCapabilities:
        { "negotiatedMaxOutboundStreams": 1, "negotiatedMaxInboundStreams": 2 });
    same!(sctp_parameters::SctpZeroChecksum: "sctp-over-dtls", "trusted-network", "none");
    same!(sctp_parameters::SctpStreamParameters:
        { "streamId": 1, "ordered": true },
        { "streamId": 1, "ordered": false, "maxPacketLifeTime": 2, "maxRetransmits": 3 });
    same!(srtp_parameters::SrtpCryptoSuite:
        "AEAD_AES_256_GCM", "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32");
    same!(srtp_parameters::SrtpParameters: { "cryptoSuite": "AEAD_AES_128_GCM", "keyBase64": "AAAA" });
}
