//! Data that both ways of signalling read and write.

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;
use tureen_types::data_structures::{DtlsParameters, IceCandidate, IceParameters};
use tureen_types::ortc::check_rtp_capabilities;
use tureen_types::rtp_parameters::{RtpCapabilities, RtpCapabilitiesFinalized, leave_out_unknown};
use tureen_types::sctp_parameters::SctpParameters;

/// What a participant runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo {
    /// A short name without spaces, by which web apps choose a picture: `chrome`, `broadcaster`.
    #[serde(default, deserialize_with = "text")]
    pub flag: String,
    /// Name.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// Version.
    #[serde(default, deserialize_with = "text")]
    pub version: String,
}

/// The server's side of a WebRTC transport.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransportInfo {
    /// Id.
    pub id: String,
    /// ICE parameters.
    pub ice_parameters: IceParameters,
    /// ICE candidates.
    pub ice_candidates: Vec<IceCandidate>,
    /// DTLS parameters.
    pub dtls_parameters: DtlsParameters,
    /// SCTP parameters, if data channels are enabled.
    #[serde(default, deserialize_with = "sctp_parameters")]
    pub sctp_parameters: Option<SctpParameters>,
}

/// Kind of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConsumerType {
    /// One stream.
    Simple,
    /// One stream, selected among several.
    Simulcast,
    /// One stream with layers.
    Svc,
    /// All streams.
    Pipe,
}

/// Reads a router's capabilities, without codecs and header extensions that this version does not know.
pub(crate) fn router_capabilities(mut data: Value) -> Result<RtpCapabilitiesFinalized, String> {
    leave_out_unknown(&mut data);
    let capabilities: RtpCapabilitiesFinalized =
        serde_json::from_value(data).map_err(|error| error.to_string())?;
    check_rtp_capabilities(&RtpCapabilities::from(capabilities.clone()))?;
    Ok(capabilities)
}

/// Reads SCTP parameters of any version of mediasoup, which have all of the fields or only the older ones.
fn sctp_parameters<'de, D: Deserializer<'de>>(data: D) -> Result<Option<SctpParameters>, D::Error> {
    let Some(members) = Option::<SctpJson>::deserialize(data)? else { return Ok(None) };
    let SctpJson { port, os, mis, max_message_size, .. } = members;
    let either = members.max_receive_message_size.or(max_message_size);
    let size = either.ok_or_else(|| de::Error::missing_field("maxReceiveMessageSize"))?;
    Ok(Some(SctpParameters {
        port,
        max_send_message_size: members.max_send_message_size.unwrap_or(size),
        max_receive_message_size: size,
        send_buffer_size: members.send_buffer_size.unwrap_or(DEFAULT_SEND_BUFFER),
        per_stream_send_queue_limit: members.per_stream_send_queue_limit.unwrap_or(DEFAULT_SEND_BUFFER),
        max_receiver_window_buffer_size: members.max_receiver_window_buffer_size.unwrap_or(DEFAULT_WINDOW),
        is_data_channel: members.is_data_channel.unwrap_or(true),
        os: os.unwrap_or(u16::MAX),
        mis: mis.unwrap_or(u16::MAX),
        max_message_size: max_message_size.unwrap_or(size),
    }))
}

/// A text that other clients may leave out or set to null.
pub(crate) fn text<'de, D: Deserializer<'de>>(data: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(data)?.unwrap_or_default())
}

/// What the server has is not told by older versions, and is of no use to a client.
const DEFAULT_SEND_BUFFER: u32 = 262_144;
const DEFAULT_WINDOW: u32 = 5 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SctpJson {
    port: u16,
    #[serde(rename = "OS")]
    os: Option<u16>,
    #[serde(rename = "MIS")]
    mis: Option<u16>,
    max_message_size: Option<u32>,
    max_send_message_size: Option<u32>,
    max_receive_message_size: Option<u32>,
    send_buffer_size: Option<u32>,
    per_stream_send_queue_limit: Option<u32>,
    max_receiver_window_buffer_size: Option<u32>,
    is_data_channel: Option<bool>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn codecs_of_later_versions_are_left_out() {
        let capabilities = json!({
            "codecs": [
                { "kind": "audio", "mimeType": "audio/opus", "preferredPayloadType": 100, "clockRate": 48000, "channels": 2 },
                { "kind": "video", "mimeType": "video/H277", "preferredPayloadType": 101, "clockRate": 90000 },
            ],
            "headerExtensions": [
                { "kind": "audio", "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "preferredId": 1 },
                { "kind": "audio", "uri": "urn:new", "preferredId": 2 },
            ],
        });
        let read = router_capabilities(capabilities).unwrap();
        assert_eq!((read.codecs.len(), read.header_extensions.len()), (1, 1));
        for (wrong, part) in [
            (Value::Null, "null"),
            (json!({ "codecs": [{ "mimeType": "text/plain" }], "headerExtensions": [] }), "kind"),
            (
                json!({ "codecs": [], "headerExtensions": [
                    { "kind": "audio", "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "preferredId": 0 }
                ] }),
                "preferredId 0",
            ),
        ] {
            let error = router_capabilities(wrong).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn sctp_parameters_of_old_and_new_servers_are_read() {
        let old =
            json!({ "port": 5000, "OS": 1024, "MIS": 1024, "maxMessageSize": 262144, "isDataChannel": true });
        let read = sctp_parameters(old).unwrap().unwrap();
        assert_eq!(
            (read.os, read.max_send_message_size, read.max_receive_message_size),
            (1024, 262_144, 262_144)
        );
        let new = json!({ "port": 5000, "maxSendMessageSize": 1, "maxReceiveMessageSize": 2, "isDataChannel": true });
        let read = sctp_parameters(new).unwrap().unwrap();
        assert_eq!(
            (read.max_send_message_size, read.max_receive_message_size, read.max_message_size),
            (1, 2, 2)
        );
        assert_eq!(sctp_parameters(Value::Null).unwrap(), None);
        let error = sctp_parameters(json!({ "port": 5000 })).unwrap_err();
        assert!(error.to_string().contains("maxReceiveMessageSize"), "{error}");
    }
}
