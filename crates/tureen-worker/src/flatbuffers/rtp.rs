//! RTP parameters and their mapping.

use tureen_engine::api::{ConsumerLayers, ConsumerScore, StreamType};
use tureen_types::ortc::{RtpMapping, RtpMappingCodec, RtpMappingEncoding};
use tureen_types::rtp_parameters as api;
use tureen_types::rtp_parameters::{
    MediaKind, OtherParameterValue, RtpCodecParametersParametersValue as ParameterValue,
    RtpHeaderExtensionUri as Uri,
};

use super::schema::{consumer, rtp_parameters as wire};
use super::{Parse, list};
use crate::parts::{self, CodecWords};

pub(super) fn read_parameters(from: wire::RtpParameters) -> Parse<api::RtpParameters> {
    let header_extensions =
        from.header_extensions.into_iter().map(|extension| api::RtpHeaderExtensionParameters {
            uri: read_uri(extension.uri),
            id: extension.id.into(),
            encrypt: extension.encrypt,
        });
    Ok(api::RtpParameters {
        mid: from.mid,
        codecs: from.codecs.into_iter().map(read_codec).collect::<Parse<_>>()?,
        header_extensions: header_extensions.collect(),
        encodings: read_encodings(from.encodings)?,
        rtcp: api::RtcpParameters { cname: from.rtcp.cname, reduced_size: from.rtcp.reduced_size },
        msid: from.msid,
    })
}

pub(super) fn write_parameters(from: api::RtpParameters) -> wire::RtpParameters {
    let header_extensions = from.header_extensions.into_iter().map(|extension| {
        wire::RtpHeaderExtensionParameters {
            uri: write_uri(extension.uri),
            // Fits, because it arrived as one byte.
            id: extension.id as u8,
            encrypt: extension.encrypt,
            parameters: None,
        }
    });
    wire::RtpParameters {
        mid: from.mid,
        codecs: list(from.codecs, write_codec),
        header_extensions: header_extensions.collect(),
        encodings: write_encodings(from.encodings),
        rtcp: Box::new(wire::RtcpParameters { cname: from.rtcp.cname, reduced_size: from.rtcp.reduced_size }),
        msid: from.msid,
    }
}

pub(super) fn read_encodings(
    from: Vec<wire::RtpEncodingParameters>,
) -> Parse<Vec<api::RtpEncodingParameters>> {
    let encoding = |from: wire::RtpEncodingParameters| {
        Ok(api::RtpEncodingParameters {
            ssrc: from.ssrc,
            rid: from.rid,
            codec_payload_type: from.codec_payload_type,
            rtx: from.rtx.map(|rtx| api::RtpEncodingParametersRtx { ssrc: rtx.ssrc }),
            dtx: from.dtx.then_some(true),
            // mediasoup treats an invalid scalability mode as none.
            scalability_mode: from.scalability_mode.and_then(|mode| mode.parse().ok()).unwrap_or_default(),
            max_bitrate: from.max_bitrate,
        })
    };
    from.into_iter().map(encoding).collect()
}

pub(super) fn write_encodings(from: Vec<api::RtpEncodingParameters>) -> Vec<wire::RtpEncodingParameters> {
    list(from, |from| wire::RtpEncodingParameters {
        ssrc: from.ssrc,
        rid: from.rid,
        codec_payload_type: from.codec_payload_type,
        rtx: from.rtx.map(|rtx| Box::new(wire::Rtx { ssrc: rtx.ssrc })),
        dtx: from.dtx.unwrap_or(false),
        scalability_mode: (!from.scalability_mode.is_none())
            .then(|| from.scalability_mode.as_str().to_owned()),
        max_bitrate: from.max_bitrate,
    })
}

pub(super) fn read_mapping(from: wire::RtpMapping) -> RtpMapping {
    RtpMapping {
        codecs: list(from.codecs, |codec| RtpMappingCodec {
            payload_type: codec.payload_type,
            mapped_payload_type: codec.mapped_payload_type,
        }),
        encodings: list(from.encodings, |encoding| RtpMappingEncoding {
            rid: encoding.rid,
            ssrc: encoding.ssrc,
            scalability_mode: Default::default(),
            mapped_ssrc: encoding.mapped_ssrc,
        }),
    }
}

pub(super) fn write_mapping(from: RtpMapping) -> wire::RtpMapping {
    wire::RtpMapping {
        codecs: list(from.codecs, |codec| wire::CodecMapping {
            payload_type: codec.payload_type,
            mapped_payload_type: codec.mapped_payload_type,
        }),
        encodings: list(from.encodings, |encoding| wire::EncodingMapping {
            rid: encoding.rid,
            ssrc: encoding.ssrc,
            mapped_ssrc: encoding.mapped_ssrc,
        }),
    }
}

pub(super) fn read_kind(kind: wire::MediaKind) -> MediaKind {
    match kind {
        wire::MediaKind::Audio => MediaKind::Audio,
        wire::MediaKind::Video => MediaKind::Video,
    }
}

pub(super) fn write_kind(kind: MediaKind) -> wire::MediaKind {
    match kind {
        MediaKind::Audio => wire::MediaKind::Audio,
        MediaKind::Video => wire::MediaKind::Video,
    }
}

pub(super) fn read_stream_type(stream_type: wire::Type) -> StreamType {
    match stream_type {
        wire::Type::Simple => StreamType::Simple,
        wire::Type::Simulcast => StreamType::Simulcast,
        wire::Type::Svc => StreamType::Svc,
        wire::Type::Pipe => StreamType::Pipe,
    }
}

pub(super) fn write_stream_type(stream_type: StreamType) -> wire::Type {
    match stream_type {
        StreamType::Simple => wire::Type::Simple,
        StreamType::Simulcast => wire::Type::Simulcast,
        StreamType::Svc => wire::Type::Svc,
        StreamType::Pipe => wire::Type::Pipe,
    }
}

pub(super) fn read_layers(from: consumer::ConsumerLayers) -> ConsumerLayers {
    ConsumerLayers { spatial_layer: from.spatial_layer, temporal_layer: from.temporal_layer }
}

pub(super) fn write_layers(from: ConsumerLayers) -> Box<consumer::ConsumerLayers> {
    Box::new(consumer::ConsumerLayers {
        spatial_layer: from.spatial_layer,
        temporal_layer: from.temporal_layer,
    })
}

pub(super) fn write_consumer_score(from: ConsumerScore) -> Box<consumer::ConsumerScore> {
    Box::new(consumer::ConsumerScore {
        score: from.score,
        producer_score: from.producer_score,
        producer_scores: from.producer_scores,
    })
}

fn read_codec(from: wire::RtpCodecParameters) -> Parse<api::RtpCodecParameters> {
    let parameters = from.parameters.unwrap_or_default().into_iter();
    parts::read_codec(CodecWords {
        mime_type: &from.mime_type,
        payload_type: from.payload_type,
        clock_rate: from.clock_rate,
        channels: from.channels,
        parameters: parameters.map(|parameter| (parameter.name, read_value(parameter.value))).collect(),
        rtcp_feedback: list(from.rtcp_feedback.unwrap_or_default(), |feedback| {
            parts::read_feedback(&feedback.type_, feedback.parameter.as_deref())
        }),
    })
}

fn write_codec(from: api::RtpCodecParameters) -> wire::RtpCodecParameters {
    let feedback = from.rtcp_feedback().iter().map(|feedback| {
        let (type_, parameter) = feedback.as_type_parameter();
        wire::RtcpFeedback {
            type_: type_.to_owned(),
            parameter: (!parameter.is_empty()).then(|| parameter.to_owned()),
        }
    });
    let parameters = from.parameters().iter().map(|(name, value)| wire::Parameter {
        name: name.clone().into_owned(),
        value: write_value(value.clone()),
    });
    wire::RtpCodecParameters {
        mime_type: from.mime_type().as_str().to_owned(),
        payload_type: from.payload_type(),
        clock_rate: from.clock_rate().get(),
        channels: parts::channels(&from),
        rtcp_feedback: Some(feedback.collect()),
        parameters: Some(parameters.collect()),
    }
}

fn read_value(from: wire::Value) -> ParameterValue {
    match from {
        wire::Value::String(text) => ParameterValue::String(text.value.into()),
        wire::Value::Integer32(number) => match u32::try_from(number.value) {
            Ok(number) => ParameterValue::Number(number),
            Err(_) => ParameterValue::Other(OtherParameterValue::Decimal(number.value.into())),
        },
        wire::Value::Double(number) => ParameterValue::Other(OtherParameterValue::Decimal(number.value)),
        wire::Value::Boolean(value) => ParameterValue::Other(OtherParameterValue::Boolean(value.value != 0)),
        wire::Value::Integer32Array(values) => {
            ParameterValue::Other(OtherParameterValue::Integers(values.value.unwrap_or_default()))
        }
    }
}

fn write_value(from: ParameterValue) -> wire::Value {
    let decimal = |value| wire::Value::Double(Box::new(wire::Double { value }));
    match from {
        ParameterValue::String(text) => {
            wire::Value::String(Box::new(wire::String { value: text.into_owned() }))
        }
        ParameterValue::Number(number) => match i32::try_from(number) {
            Ok(value) => wire::Value::Integer32(Box::new(wire::Integer32 { value })),
            Err(_) => decimal(number.into()),
        },
        ParameterValue::Other(OtherParameterValue::Decimal(value)) => decimal(value),
        ParameterValue::Other(OtherParameterValue::Boolean(value)) => {
            wire::Value::Boolean(Box::new(wire::Boolean { value: value.into() }))
        }
        ParameterValue::Other(OtherParameterValue::Integers(values)) => {
            wire::Value::Integer32Array(Box::new(wire::Integer32Array { value: Some(values) }))
        }
    }
}

macro_rules! uris {
    ($($api:ident = $wire:ident,)+) => {
        fn read_uri(from: wire::RtpHeaderExtensionUri) -> Uri {
            match from {
                $(wire::RtpHeaderExtensionUri::$wire => Uri::$api,)+
            }
        }

        fn write_uri(from: Uri) -> wire::RtpHeaderExtensionUri {
            match from {
                $(Uri::$api => wire::RtpHeaderExtensionUri::$wire,)+
            }
        }
    };
}

uris! {
    Mid = Mid,
    RtpStreamId = RtpStreamId,
    RepairRtpStreamId = RepairRtpStreamId,
    AbsSendTime = AbsSendTime,
    TransportWideCcDraft01 = TransportWideCcDraft01,
    SsrcAudioLevel = SsrcAudioLevel,
    DependencyDescriptor = DependencyDescriptor,
    VideoOrientation = VideoOrientation,
    TimeOffset = TimeOffset,
    AbsCaptureTime = AbsCaptureTime,
    PlayoutDelay = PlayoutDelay,
    MediasoupPacketId = MediasoupPacketId,
}
