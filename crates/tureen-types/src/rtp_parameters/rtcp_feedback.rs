use serde::{Deserialize, Serialize};
use thiserror::Error;

/// RTCP feedback about a codec's streams (RFC 4585, SDP `rtcp-fb`).
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(from = "TypeAndParameter", into = "TypeAndParameter")]
#[allow(
    clippy::manual_non_exhaustive,
    reason = "the hidden variant is a value: what a peer sent and we do not know"
)]
pub enum RtcpFeedback {
    /// Generic NACK (RFC 4585 §6.2.1).
    Nack,
    /// Picture loss indication (RFC 4585 §6.3.1).
    NackPli,
    /// Full intra request (RFC 5104 §4.3.1).
    CcmFir,
    /// Receiver estimated maximum bitrate.
    GoogRemb,
    /// Transport-wide congestion control feedback.
    TransportCc,
    /// Unsupported feedback, which is accepted and ignored.
    #[doc(hidden)]
    Unsupported,
}

/// Error of parsing a [`RtcpFeedback`].
#[derive(Debug, Error, Eq, PartialEq)]
pub enum RtcpFeedbackFromTypeParameterError {
    /// The feedback is not supported.
    #[error("Unsupported")]
    Unsupported,
}

impl RtcpFeedback {
    /// Creates the feedback from the two parts of an SDP `rtcp-fb` attribute, e.g. `nack` and `pli`.
    pub fn from_type_parameter(
        r#type: &str,
        parameter: &str,
    ) -> Result<Self, RtcpFeedbackFromTypeParameterError> {
        let all =
            [Self::Nack, Self::NackPli, Self::CcmFir, Self::GoogRemb, Self::TransportCc, Self::Unsupported];
        all.into_iter()
            .find(|feedback| feedback.as_type_parameter() == (r#type, parameter))
            .ok_or(RtcpFeedbackFromTypeParameterError::Unsupported)
    }

    /// Both parts of an SDP `rtcp-fb` attribute; the second may be empty.
    pub fn as_type_parameter(&self) -> (&'static str, &'static str) {
        match self {
            Self::Nack => ("nack", ""),
            Self::NackPli => ("nack", "pli"),
            Self::CcmFir => ("ccm", "fir"),
            Self::GoogRemb => ("goog-remb", ""),
            Self::TransportCc => ("transport-cc", ""),
            Self::Unsupported => ("unknown", ""),
        }
    }
}

/// The JSON form.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TypeAndParameter {
    r#type: String,
    #[serde(default)]
    parameter: String,
}

impl From<TypeAndParameter> for RtcpFeedback {
    fn from(TypeAndParameter { r#type, parameter }: TypeAndParameter) -> Self {
        Self::from_type_parameter(&r#type, &parameter).unwrap_or(Self::Unsupported)
    }
}

impl From<RtcpFeedback> for TypeAndParameter {
    fn from(feedback: RtcpFeedback) -> Self {
        let (r#type, parameter) = feedback.as_type_parameter();
        Self { r#type: r#type.to_owned(), parameter: parameter.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_type_and_parameter() {
        let pli = r#"{"type":"nack","parameter":"pli"}"#;
        assert_eq!(serde_json::from_str::<RtcpFeedback>(pli).unwrap(), RtcpFeedback::NackPli);
        assert_eq!(serde_json::to_string(&RtcpFeedback::NackPli).unwrap(), pli);
        assert_eq!(
            serde_json::from_str::<RtcpFeedback>(r#"{"type":"transport-cc"}"#).unwrap(),
            RtcpFeedback::TransportCc
        );
    }

    #[test]
    fn feedback_that_is_not_understood_is_still_read() {
        let ccm_tmmbr = r#"{"type":"ccm","parameter":"tmmbr"}"#;
        assert_eq!(serde_json::from_str::<RtcpFeedback>(ccm_tmmbr).unwrap(), RtcpFeedback::Unsupported);
        assert_eq!(
            RtcpFeedback::from_type_parameter("ccm", "tmmbr"),
            Err(RtcpFeedbackFromTypeParameterError::Unsupported)
        );
    }
}
