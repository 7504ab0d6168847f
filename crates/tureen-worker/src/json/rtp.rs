//! RTP parameters and their mapping, both ways.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tureen_engine::api::StreamType;
use tureen_types::ortc::{RtpMapping, RtpMappingCodec, RtpMappingEncoding};
use tureen_types::rtp_parameters as api;
use tureen_types::rtp_parameters::{
    OtherParameterValue, RtpCodecParametersParametersValue as ParameterValue,
};

use super::list;
use crate::parts::{self, CodecWords, Parse};

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RtpParameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    mid: Option<String>,
    codecs: Vec<Codec>,
    #[serde(default)]
    header_extensions: Vec<HeaderExtension>,
    encodings: Vec<Encoding>,
    #[serde(default)]
    rtcp: Rtcp,
}

impl RtpParameters {
    pub(super) fn read(self) -> Parse<api::RtpParameters> {
        Ok(api::RtpParameters {
            mid: self.mid,
            codecs: self.codecs.into_iter().map(Codec::read).collect::<Parse<_>>()?,
            // Unknown extensions are left out, because they are not forwarded.
            header_extensions: self.header_extensions.iter().filter_map(HeaderExtension::read).collect(),
            encodings: list(self.encodings, Encoding::read),
            rtcp: self.rtcp.read(),
            msid: None,
        })
    }
}

impl From<api::RtpParameters> for RtpParameters {
    fn from(from: api::RtpParameters) -> Self {
        Self {
            mid: from.mid,
            codecs: list(from.codecs, |codec| Codec::from(&codec)),
            header_extensions: list(from.header_extensions, |extension| HeaderExtension {
                uri: extension.uri.as_str().to_owned(),
                id: extension.id,
                encrypt: extension.encrypt,
                parameters: Map::new(),
            }),
            encodings: list(from.encodings, Encoding::from),
            rtcp: Rtcp { cname: from.rtcp.cname, reduced_size: Some(from.rtcp.reduced_size) },
        }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Codec {
    mime_type: String,
    payload_type: u8,
    clock_rate: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<u8>,
    #[serde(default)]
    parameters: Map<String, Value>,
    #[serde(default)]
    rtcp_feedback: Vec<RtcpFeedback>,
}

#[derive(Deserialize, Serialize)]
struct RtcpFeedback {
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
}

impl Codec {
    fn read(self) -> Parse<api::RtpCodecParameters> {
        let parameters = self.parameters.into_iter();
        parts::read_codec(CodecWords {
            mime_type: &self.mime_type,
            payload_type: self.payload_type,
            clock_rate: self.clock_rate,
            channels: self.channels,
            parameters: parameters.filter_map(|(name, value)| Some((name, read_value(value)?))).collect(),
            rtcp_feedback: list(self.rtcp_feedback, |feedback| {
                parts::read_feedback(&feedback.r#type, feedback.parameter.as_deref())
            }),
        })
    }
}

impl From<&api::RtpCodecParameters> for Codec {
    fn from(from: &api::RtpCodecParameters) -> Self {
        let feedback = from.rtcp_feedback().iter().map(|feedback| {
            let (kind, parameter) = feedback.as_type_parameter();
            let parameter = (!parameter.is_empty()).then(|| parameter.to_owned());
            RtcpFeedback { r#type: kind.to_owned(), parameter }
        });
        let parameters = from.parameters().iter();
        Self {
            mime_type: from.mime_type().as_str().to_owned(),
            payload_type: from.payload_type(),
            clock_rate: from.clock_rate().get(),
            channels: parts::channels(from),
            parameters: parameters.map(|(name, value)| (name.to_string(), write_value(value))).collect(),
            rtcp_feedback: feedback.collect(),
        }
    }
}

#[derive(Deserialize, Serialize)]
struct HeaderExtension {
    uri: String,
    id: u16,
    #[serde(default)]
    encrypt: bool,
    /// Always present in the library's output, and never used.
    #[serde(default)]
    parameters: Map<String, Value>,
}

impl HeaderExtension {
    fn read(&self) -> Option<api::RtpHeaderExtensionParameters> {
        let uri = self.uri.parse().ok()?;
        Some(api::RtpHeaderExtensionParameters { uri, id: self.id, encrypt: self.encrypt })
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Encoding {
    #[serde(skip_serializing_if = "Option::is_none")]
    ssrc: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    codec_payload_type: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtx: Option<api::RtpEncodingParametersRtx>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dtx: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bitrate: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scalability_mode: Option<String>,
    /// Layers of the mode; output only.
    #[serde(flatten, skip_deserializing)]
    layers: Option<EncodingLayers>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EncodingLayers {
    spatial_layers: u8,
    temporal_layers: u8,
    ksvc: bool,
}

impl Encoding {
    pub(super) fn read(self) -> api::RtpEncodingParameters {
        api::RtpEncodingParameters {
            ssrc: self.ssrc,
            rid: self.rid,
            codec_payload_type: self.codec_payload_type,
            rtx: self.rtx,
            dtx: self.dtx.filter(|&dtx| dtx),
            // mediasoup treats an invalid scalability mode as none.
            scalability_mode: self.scalability_mode.and_then(|mode| mode.parse().ok()).unwrap_or_default(),
            max_bitrate: self.max_bitrate,
        }
    }
}

impl From<api::RtpEncodingParameters> for Encoding {
    fn from(from: api::RtpEncodingParameters) -> Self {
        let mode = Some(from.scalability_mode).filter(|mode| !mode.is_none());
        Self {
            ssrc: from.ssrc,
            rid: from.rid,
            codec_payload_type: from.codec_payload_type,
            rtx: from.rtx,
            dtx: from.dtx.filter(|&dtx| dtx),
            max_bitrate: from.max_bitrate,
            layers: mode.as_ref().map(|mode| EncodingLayers {
                spatial_layers: mode.spatial_layers().get(),
                temporal_layers: mode.temporal_layers().get(),
                ksvc: mode.ksvc(),
            }),
            scalability_mode: mode.map(|mode| mode.as_str().to_owned()),
        }
    }
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rtcp {
    #[serde(skip_serializing_if = "Option::is_none")]
    cname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reduced_size: Option<bool>,
}

impl Rtcp {
    fn read(self) -> api::RtcpParameters {
        api::RtcpParameters { cname: self.cname, reduced_size: self.reduced_size.unwrap_or(true) }
    }
}

#[derive(Deserialize, Serialize)]
pub(super) struct Mapping {
    codecs: Vec<RtpMappingCodec>,
    encodings: Vec<EncodingMapping>,
}

/// Absent values are `null`.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct EncodingMapping {
    rid: Option<String>,
    ssrc: Option<u32>,
    mapped_ssrc: u32,
}

impl Mapping {
    pub(super) fn read(self) -> RtpMapping {
        RtpMapping {
            codecs: self.codecs,
            encodings: list(self.encodings, |encoding| RtpMappingEncoding {
                rid: encoding.rid,
                ssrc: encoding.ssrc,
                scalability_mode: Default::default(),
                mapped_ssrc: encoding.mapped_ssrc,
            }),
        }
    }
}

impl From<RtpMapping> for Mapping {
    fn from(from: RtpMapping) -> Self {
        let encodings = list(from.encodings, |encoding| EncodingMapping {
            rid: encoding.rid,
            ssrc: encoding.ssrc,
            mapped_ssrc: encoding.mapped_ssrc,
        });
        Self { codecs: from.codecs, encodings }
    }
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase", remote = "StreamType")]
pub(super) enum StreamTypeName {
    Simple,
    Simulcast,
    Svc,
    Pipe,
}

/// Values of other types are ignored, as in mediasoup.
fn read_value(from: Value) -> Option<ParameterValue> {
    Some(match from {
        Value::String(text) => ParameterValue::String(text.into()),
        Value::Bool(value) => ParameterValue::Other(OtherParameterValue::Boolean(value)),
        Value::Number(number) => match number.as_u64().and_then(|number| u32::try_from(number).ok()) {
            Some(number) => ParameterValue::Number(number),
            None => ParameterValue::Other(OtherParameterValue::Decimal(number.as_f64()?)),
        },
        Value::Array(values) => {
            let integer = |value: &Value| i32::try_from(value.as_i64()?).ok();
            let values = values.iter().map(integer).collect::<Option<_>>()?;
            ParameterValue::Other(OtherParameterValue::Integers(values))
        }
        Value::Null | Value::Object(_) => return None,
    })
}

fn write_value(from: &ParameterValue) -> Value {
    match from {
        ParameterValue::String(text) => text.as_ref().into(),
        ParameterValue::Number(number) => (*number).into(),
        ParameterValue::Other(OtherParameterValue::Boolean(value)) => (*value).into(),
        ParameterValue::Other(OtherParameterValue::Integers(values)) => values.clone().into(),
        ParameterValue::Other(OtherParameterValue::Decimal(value)) => (*value).into(),
    }
}
