//! JSON in the form that mediasoup's Node library gives and takes: what has no value is left out, never null.
//!
//! The types of the `tureen` crate keep the JSON of the mediasoup crate, which differs in details. Clients of rooms were
//! written for the Node library.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, de::DeserializeOwned, ser};
use serde_json::{Map, Value, json};
use tureen::{
    consumer::ConsumerRtpStreamStat,
    data_consumer::DataConsumerStat,
    data_producer::DataProducerStat,
    ortc::check_rtp_capabilities,
    prelude::*,
    producer::ProducerStat,
    rtp_parameters::MimeType,
    sctp_parameters::SctpParameters,
    types::data_structures::{DtlsFingerprint, DtlsRole, TransportTuple},
    webrtc_transport::{WebRtcTransport, WebRtcTransportStat},
};

use crate::{error::Error, room::Description};

/// Reads the data of a request. No data is an empty object, and a null is as good as nothing.
pub(crate) fn read<T: DeserializeOwned>(mut data: Value) -> Result<T, Error> {
    if data.is_null() {
        data = json!({});
    }
    leave_out_nulls(&mut data);
    serde_json::from_value(data).map_err(|why| Error::WrongData { part: "data", why })
}

/// Writes the data of a response.
pub(crate) fn write(data: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(data).map_err(Error::Json)
}

/// Removes members without a value, but for those of the application's own data.
fn leave_out_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members
                .iter_mut()
                .filter(|(name, _)| *name != "appData")
                .for_each(|(_, member)| leave_out_nulls(member));
        }
        Value::Array(elements) => elements.iter_mut().for_each(leave_out_nulls),
        _ => {}
    }
}

/// Reads the capabilities of a client, which may list codecs and header extensions that nobody here knows: those are
/// left out. The kind of a codec is in its MIME type, so that it may be missing.
pub(crate) fn capabilities<'de, D: Deserializer<'de>>(data: D) -> Result<Option<RtpCapabilities>, D::Error> {
    let Some(mut capabilities) = Option::<Value>::deserialize(data)? else { return Ok(None) };
    if let Some(Value::Array(codecs)) = capabilities.get_mut("codecs") {
        codecs.retain_mut(|codec| {
            let Some(mime_type) = codec.get("mimeType").and_then(Value::as_str) else { return true };
            let (kind, subtype) = mime_type.split_once('/').unwrap_or_default();
            let kind = kind.to_ascii_lowercase();
            let is_media = (kind == "audio" || kind == "video") && !subtype.is_empty();
            let is_known = mime_type.parse::<MimeType>().is_ok();
            if is_media && let Some(codec) = codec.as_object_mut() {
                codec.insert("kind".to_owned(), kind.into());
            }
            // What is no MIME type of media at all is an error.
            is_known || !is_media
        });
    }
    if let Some(Value::Array(extensions)) = capabilities.get_mut("headerExtensions") {
        extensions.retain_mut(|extension| {
            let Some(uri) = extension.get("uri").and_then(Value::as_str) else { return true };
            let is_known = uri.parse::<RtpHeaderExtensionUri>().is_ok();
            // Empty or missing: of both kinds. It matters to nothing in a client's capabilities.
            if let Some(extension) = extension.as_object_mut()
                && extension.get("kind").is_none_or(|kind| kind == "")
            {
                extension.insert("kind".to_owned(), "audio".into());
            }
            is_known
        });
    }
    let capabilities = RtpCapabilities::deserialize(capabilities).map_err(de::Error::custom)?;
    check_rtp_capabilities(&capabilities).map_err(de::Error::custom)?;
    Ok(Some(capabilities))
}

/// The same where they have to be there.
pub(crate) fn required_capabilities<'de, D: Deserializer<'de>>(data: D) -> Result<RtpCapabilities, D::Error> {
    capabilities(data)?.ok_or_else(|| de::Error::custom("rtpCapabilities are missing"))
}

/// Most fingerprints that a client may give.
const MAX_FINGERPRINTS: usize = 16;

/// Reads the DTLS parameters of a client; the role is `auto` if it is not given.
pub(crate) fn remote_dtls<'de, D: Deserializer<'de>>(data: D) -> Result<DtlsParameters, D::Error> {
    #[derive(Deserialize)]
    struct Remote {
        #[serde(default)]
        role: DtlsRole,
        fingerprints: Vec<DtlsFingerprint>,
    }

    let Remote { role, fingerprints } = Remote::deserialize(data)?;
    let count = fingerprints.len();
    if count > MAX_FINGERPRINTS {
        let text = format!("{count} fingerprints, at most {MAX_FINGERPRINTS} are allowed");
        return Err(de::Error::custom(text));
    }
    Ok(DtlsParameters { role, fingerprints })
}

/// A candidate with its address under both names: `ip` is what clients before mediasoup 3.14 read.
#[derive(Serialize)]
pub(crate) struct Candidate<'a> {
    #[serde(flatten)]
    candidate: &'a IceCandidate,
    ip: &'a str,
}

impl<'a> Candidate<'a> {
    pub(crate) fn all(candidates: &'a [IceCandidate]) -> Vec<Self> {
        candidates.iter().map(|candidate| Self { candidate, ip: &candidate.address }).collect()
    }
}

/// A tuple with its local address under both names.
#[derive(Serialize)]
pub(crate) struct Tuple {
    #[serde(flatten)]
    tuple: TransportTuple,
    #[serde(rename = "localIp")]
    local_ip: String,
}

impl From<TransportTuple> for Tuple {
    fn from(tuple: TransportTuple) -> Self {
        Self { local_ip: tuple.local_address().clone(), tuple }
    }
}

/// RTP parameters for a client: header extensions have `parameters`, as those of the Node library.
pub(crate) fn rtp_parameters<S: Serializer>(
    parameters: &RtpParameters,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut value = serde_json::to_value(parameters).map_err(ser::Error::custom)?;
    leave_out_nulls(&mut value);
    if let Some(Value::Array(extensions)) = value.get_mut("headerExtensions") {
        for extension in extensions.iter_mut().filter_map(Value::as_object_mut) {
            extension.insert("parameters".to_owned(), json!({}));
        }
    }
    value.serialize(serializer)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreatedTransport<'a> {
    pub(crate) id: TransportId,
    pub(crate) ice_parameters: &'a IceParameters,
    pub(crate) ice_candidates: Vec<Candidate<'a>>,
    pub(crate) dtls_parameters: DtlsParameters,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sctp_parameters: Option<SctpParameters>,
}

impl<'a> CreatedTransport<'a> {
    pub(crate) fn describe(transport: &'a WebRtcTransport) -> Self {
        Self {
            id: transport.id(),
            ice_parameters: transport.ice_parameters(),
            ice_candidates: Candidate::all(transport.ice_candidates()),
            dtls_parameters: transport.dtls_parameters(),
            sctp_parameters: transport.sctp_parameters(),
        }
    }
}

/// An SCTP stream as clients describe it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamParameters {
    stream_id: u16,
    /// Without it a stream is ordered, unless it is not reliable.
    #[serde(default)]
    ordered: Option<bool>,
    #[serde(default)]
    max_packet_life_time: Option<u16>,
    #[serde(default)]
    max_retransmits: Option<u16>,
}

impl From<StreamParameters> for SctpStreamParameters {
    fn from(asked: StreamParameters) -> Self {
        let StreamParameters { stream_id, ordered, max_packet_life_time, max_retransmits } = asked;
        let reliable = max_packet_life_time.is_none() && max_retransmits.is_none();
        Self { stream_id, ordered: ordered.unwrap_or(reliable), max_packet_life_time, max_retransmits }
    }
}

/// A participant as others are told of it.
pub(crate) fn describe(description: &Description) -> Value {
    let Description { id, display_name, device } = description;
    json!({ "id": id, "displayName": display_name, "device": device })
}

/// Statistics of a client's WebRtcTransport.
pub(crate) fn transport_stats(stats: &[WebRtcTransportStat]) -> Result<Value, Error> {
    described(stats, |_| "webrtc-transport")
}

/// Statistics of the streams of a producer.
pub(crate) fn producer_stats(stats: &[ProducerStat]) -> Result<Value, Error> {
    described(stats, |_| "inbound-rtp")
}

/// Statistics of a consumer's stream and of the producer's that it reads.
pub(crate) fn consumer_stats(stats: &[ConsumerRtpStreamStat]) -> Result<Value, Error> {
    described(stats, |stat| match stat {
        ConsumerRtpStreamStat::Inbound(_) => "inbound-rtp",
        ConsumerRtpStreamStat::Outbound(_) => "outbound-rtp",
    })
}

/// Statistics of a data producer.
pub(crate) fn data_producer_stats(stats: &[DataProducerStat]) -> Result<Value, Error> {
    described(stats, |_| "data-producer")
}

/// Statistics of a data consumer.
pub(crate) fn data_consumer_stats(stats: &[DataConsumerStat]) -> Result<Value, Error> {
    described(stats, |_| "data-consumer")
}

/// Statistics with their `type`.
fn described<T: Serialize>(stats: &[T], kind: impl Fn(&T) -> &'static str) -> Result<Value, Error> {
    let one = |stat: &T| {
        let mut value = write(stat)?;
        leave_out_nulls(&mut value);
        if let Some(members) = value.as_object_mut() {
            members.insert("type".to_owned(), kind(stat).into());
            name_tuples(members);
            if let Some(Value::Array(layers)) = members.get_mut("bitrateByLayer") {
                let by_layer = layers.iter().filter_map(|layer| {
                    Some((layer.get("layer")?.as_str()?.to_owned(), layer.get("bitrate")?.clone()))
                });
                let by_layer: Map<_, _> = by_layer.collect();
                members.insert("bitrateByLayer".to_owned(), by_layer.into());
            }
        }
        Ok(value)
    };
    stats.iter().map(one).collect()
}

/// Gives the tuples among `members` their address under its other name too.
fn name_tuples(members: &mut Map<String, Value>) {
    for name in ["iceSelectedTuple", "tuple", "rtcpTuple"] {
        if let Some(Value::Object(tuple)) = members.get_mut(name)
            && let Some(address) = tuple.get("localAddress").cloned()
        {
            tuple.insert("localIp".to_owned(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Asked {
        #[serde(default, deserialize_with = "capabilities")]
        rtp_capabilities: Option<RtpCapabilities>,
        #[serde(default)]
        names: Vec<String>,
        #[serde(default)]
        app_data: Option<Map<String, Value>>,
    }

    #[test]
    fn null_equals_a_missing_field_except_in_app_data() {
        let asked: Asked = read(Value::Null).unwrap();
        assert!(asked.rtp_capabilities.is_none() && asked.app_data.is_none());
        let data = json!({ "rtpCapabilities": null, "names": null, "appData": { "a": null } });
        let asked: Asked = read(data).unwrap();
        assert!(asked.rtp_capabilities.is_none() && asked.names.is_empty());
        assert_eq!(Value::from(asked.app_data.unwrap()), json!({ "a": null }));
    }

    #[test]
    fn unknown_codecs_and_extensions_are_left_out() {
        let asked: Asked = read(json!({ "rtpCapabilities": {
            "codecs": [
                { "kind": "video", "mimeType": "video/flexfec-03", "clockRate": 90000, "preferredPayloadType": 49 },
                { "mimeType": "audio/OPUS", "clockRate": 48000, "channels": 2, "parameters": null },
            ],
            "headerExtensions": [
                { "kind": "video", "uri": "http://www.webrtc.org/experiments/rtp-hdrext/color-space", "preferredId": 8 },
                { "kind": "", "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "preferredId": 1, "preferredEncrypt": null },
                { "uri": "urn:3gpp:video-orientation", "preferredId": 2 },
            ],
            "fecMechanisms": [],
        }}))
        .unwrap();
        let capabilities = asked.rtp_capabilities.unwrap();
        assert_eq!(capabilities.codecs.len(), 1);
        assert_eq!(capabilities.codecs[0].mime_type(), MimeType::Audio(MimeTypeAudio::Opus));
        let ids: Vec<_> =
            capabilities.header_extensions.iter().map(|extension| extension.preferred_id).collect();
        assert_eq!(ids, [1, 2]);
    }

    #[test]
    fn a_codec_without_a_sensible_mime_type_is_an_error() {
        for mime_type in [json!("opus"), json!("audio/"), json!(7)] {
            let data =
                json!({ "rtpCapabilities": { "codecs": [{ "mimeType": mime_type, "clockRate": 1 }] } });
            assert!(read::<Asked>(data).is_err(), "{mime_type}");
        }
    }
}
