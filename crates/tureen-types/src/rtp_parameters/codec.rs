use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::{NonZeroU8, NonZeroU32};

use serde::{Deserialize, Serialize};

use super::{MimeType, MimeTypeAudio, MimeTypeVideo, RtcpFeedback};

/// Format parameters of a codec (SDP `fmtp`), ordered by name.
///
/// Some of them determine if two codecs match: `profile-level-id` and `packetization-mode` of H264, `profile-id` of
/// VP9.
#[derive(Debug, Default, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
pub struct RtpCodecParametersParameters(BTreeMap<Cow<'static, str>, RtpCodecParametersParametersValue>);

/// Value of a format parameter.
#[derive(Debug, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(untagged)]
pub enum RtpCodecParametersParametersValue {
    /// Text.
    String(Cow<'static, str>),
    /// A number.
    Number(u32),
    /// A value of another type that the Node library accepts. No codec uses it, and it is kept unchanged.
    #[doc(hidden)]
    Other(OtherParameterValue),
}

/// A value of a type that no codec uses.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(untagged)]
pub enum OtherParameterValue {
    /// True or false.
    Boolean(bool),
    /// A negative or fractional number.
    Decimal(f64),
    /// Several whole numbers.
    Integers(Vec<i32>),
}

/// A codec in use, which an RTP stream carries under one payload type.
#[derive(Debug, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(untagged, try_from = "CodecJson")]
pub enum RtpCodecParameters {
    /// An audio codec.
    #[serde(rename_all = "camelCase")]
    Audio {
        /// MIME type of the codec.
        mime_type: MimeTypeAudio,
        /// RTP payload type, unique in the RTP parameters.
        payload_type: u8,
        /// Clock rate in Hertz.
        clock_rate: NonZeroU32,
        /// Number of channels, 1 if not given.
        #[serde(default = "one_channel")]
        channels: NonZeroU8,
        /// Format parameters.
        #[serde(default)]
        parameters: RtpCodecParametersParameters,
        /// RTCP feedback that may be sent for this codec.
        #[serde(default)]
        rtcp_feedback: Vec<RtcpFeedback>,
    },
    /// A video codec.
    #[serde(rename_all = "camelCase")]
    Video {
        /// MIME type of the codec.
        mime_type: MimeTypeVideo,
        /// RTP payload type, unique in the RTP parameters.
        payload_type: u8,
        /// Clock rate in Hertz.
        clock_rate: NonZeroU32,
        /// Format parameters.
        #[serde(default)]
        parameters: RtpCodecParametersParameters,
        /// RTCP feedback that may be sent for this codec.
        #[serde(default)]
        rtcp_feedback: Vec<RtcpFeedback>,
    },
}

/// JSON form, whose MIME type determines the kind. It is parsed as one struct, so that errors name the invalid field.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CodecJson {
    mime_type: String,
    payload_type: u8,
    clock_rate: NonZeroU32,
    #[serde(default)]
    channels: Option<u32>,
    #[serde(default)]
    parameters: RtpCodecParametersParameters,
    #[serde(default)]
    rtcp_feedback: Vec<RtcpFeedback>,
}

impl TryFrom<CodecJson> for RtpCodecParameters {
    type Error = String;

    fn try_from(json: CodecJson) -> Result<Self, Self::Error> {
        let CodecJson { mime_type, payload_type, clock_rate, channels, parameters, rtcp_feedback } = json;
        match mime_type.parse().map_err(|error| format!("mimeType {mime_type:?} of a codec: {error}"))? {
            MimeType::Audio(mime_type) => {
                let channels = channels.unwrap_or(1);
                let count = u8::try_from(channels).ok().and_then(NonZeroU8::new);
                let channels =
                    count.ok_or_else(|| format!("channels {channels} of a codec are not 1 to 255"))?;
                Ok(Self::Audio { mime_type, payload_type, clock_rate, channels, parameters, rtcp_feedback })
            }
            MimeType::Video(mime_type) => {
                Ok(Self::Video { mime_type, payload_type, clock_rate, parameters, rtcp_feedback })
            }
        }
    }
}

impl RtpCodecParametersParameters {
    /// Sets a parameter and replaces its previous value.
    pub fn insert<K, V>(&mut self, key: K, value: V) -> &mut Self
    where
        K: Into<Cow<'static, str>>,
        V: Into<RtpCodecParametersParametersValue>,
    {
        self.0.insert(key.into(), value.into());
        self
    }

    /// Parameters in the order of their names.
    pub fn iter(&self) -> btree_map::Iter<'_, Cow<'static, str>, RtpCodecParametersParametersValue> {
        self.0.iter()
    }

    /// Value of a parameter.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&RtpCodecParametersParametersValue> {
        self.0.get(key)
    }
}

impl RtpCodecParameters {
    /// True if this is the RTX "codec" of another codec.
    pub fn is_rtx(&self) -> bool {
        matches!(
            self,
            Self::Audio { mime_type: MimeTypeAudio::Rtx, .. }
                | Self::Video { mime_type: MimeTypeVideo::Rtx, .. }
        )
    }

    /// MIME type of the codec.
    pub fn mime_type(&self) -> MimeType {
        match self {
            Self::Audio { mime_type, .. } => MimeType::Audio(*mime_type),
            Self::Video { mime_type, .. } => MimeType::Video(*mime_type),
        }
    }

    /// RTP payload type.
    pub fn payload_type(&self) -> u8 {
        let (Self::Audio { payload_type, .. } | Self::Video { payload_type, .. }) = self;
        *payload_type
    }

    /// Clock rate in Hertz.
    pub fn clock_rate(&self) -> NonZeroU32 {
        let (Self::Audio { clock_rate, .. } | Self::Video { clock_rate, .. }) = self;
        *clock_rate
    }

    /// Format parameters.
    pub fn parameters(&self) -> &RtpCodecParametersParameters {
        let (Self::Audio { parameters, .. } | Self::Video { parameters, .. }) = self;
        parameters
    }

    /// Mutable format parameters.
    pub fn parameters_mut(&mut self) -> &mut RtpCodecParametersParameters {
        let (Self::Audio { parameters, .. } | Self::Video { parameters, .. }) = self;
        parameters
    }

    /// RTCP feedback that may be sent for this codec.
    pub fn rtcp_feedback(&self) -> &[RtcpFeedback] {
        let (Self::Audio { rtcp_feedback, .. } | Self::Video { rtcp_feedback, .. }) = self;
        rtcp_feedback
    }

    /// Mutable RTCP feedback that may be sent for this codec.
    pub fn rtcp_feedback_mut(&mut self) -> &mut Vec<RtcpFeedback> {
        let (Self::Audio { rtcp_feedback, .. } | Self::Video { rtcp_feedback, .. }) = self;
        rtcp_feedback
    }
}

impl<K, const N: usize> From<[(K, RtpCodecParametersParametersValue); N]> for RtpCodecParametersParameters
where
    K: Into<Cow<'static, str>>,
{
    fn from(parameters: [(K, RtpCodecParametersParametersValue); N]) -> Self {
        parameters.into_iter().collect()
    }
}

impl IntoIterator for RtpCodecParametersParameters {
    type Item = (Cow<'static, str>, RtpCodecParametersParametersValue);
    type IntoIter = btree_map::IntoIter<Cow<'static, str>, RtpCodecParametersParametersValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K> Extend<(K, RtpCodecParametersParametersValue)> for RtpCodecParametersParameters
where
    K: Into<Cow<'static, str>>,
{
    fn extend<T: IntoIterator<Item = (K, RtpCodecParametersParametersValue)>>(&mut self, parameters: T) {
        self.0.extend(parameters.into_iter().map(|(name, value)| (name.into(), value)));
    }
}

impl<K> FromIterator<(K, RtpCodecParametersParametersValue)> for RtpCodecParametersParameters
where
    K: Into<Cow<'static, str>>,
{
    fn from_iter<T: IntoIterator<Item = (K, RtpCodecParametersParametersValue)>>(parameters: T) -> Self {
        let mut all = Self::default();
        all.extend(parameters);
        all
    }
}

impl Ord for OtherParameterValue {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |value: &Self| match value {
            Self::Boolean(_) => 0,
            Self::Decimal(_) => 1,
            Self::Integers(_) => 2,
        };
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Decimal(a), Self::Decimal(b)) => a.total_cmp(b),
            (Self::Integers(a), Self::Integers(b)) => a.cmp(b),
            (a, b) => rank(a).cmp(&rank(b)),
        }
    }
}

impl PartialOrd for OtherParameterValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for OtherParameterValue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for OtherParameterValue {}

impl Hash for OtherParameterValue {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Boolean(value) => value.hash(state),
            Self::Decimal(value) => value.to_bits().hash(state),
            Self::Integers(values) => values.hash(state),
        }
    }
}

impl fmt::Display for OtherParameterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Decimal(value) => value.fmt(f),
            Self::Integers(values) => fmt::Debug::fmt(values, f),
        }
    }
}

impl From<Cow<'static, str>> for RtpCodecParametersParametersValue {
    fn from(text: Cow<'static, str>) -> Self {
        Self::String(text)
    }
}

impl From<String> for RtpCodecParametersParametersValue {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<&'static str> for RtpCodecParametersParametersValue {
    fn from(text: &'static str) -> Self {
        Self::String(text.into())
    }
}

impl From<u8> for RtpCodecParametersParametersValue {
    fn from(number: u8) -> Self {
        Self::Number(number.into())
    }
}

impl From<u16> for RtpCodecParametersParametersValue {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for RtpCodecParametersParametersValue {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

pub(super) fn one_channel() -> NonZeroU8 {
    NonZeroU8::MIN
}
