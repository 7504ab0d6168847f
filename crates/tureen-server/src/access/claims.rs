//! The claims of a token, in LiveKit's form.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// Claims of an access token. Claims that are not known are ignored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// API key whose secret signed the token; with a JWKS, the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Identity: the id that the participant has in its room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Those whom the token is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
    /// The token is no good from this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<Seconds>,
    /// The token is no good before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<Seconds>,
    /// Time of issue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<Seconds>,
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Text of the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// Texts of the application by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<BTreeMap<String, String>>,
    /// Rights in rooms; without them a token opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoGrant>,
}

/// The claim `video`: rights in rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VideoGrant {
    /// Room of the rights. Without it `roomJoin` holds for every room; `roomAdmin` needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// May be in the room.
    #[serde(skip_serializing_if = "is_false")]
    pub room_join: bool,
    /// May make and delete rooms.
    #[serde(skip_serializing_if = "is_false")]
    pub room_create: bool,
    /// May list rooms.
    #[serde(skip_serializing_if = "is_false")]
    pub room_list: bool,
    /// May record rooms.
    #[serde(skip_serializing_if = "is_false")]
    pub room_record: bool,
    /// May moderate the room.
    #[serde(skip_serializing_if = "is_false")]
    pub room_admin: bool,
    /// May send media. Absent is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    /// May receive media and data. Absent is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    /// May send data. Absent is what `canPublish` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
    /// Sources that it may send: `camera`, `microphone`, `screen_share`, `screen_share_audio`. Absent or empty is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_sources: Option<Vec<String>>,
    /// May change its own name. Absent is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_update_own_metadata: Option<bool>,
    /// Others are not told of it.
    #[serde(skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// It records.
    #[serde(skip_serializing_if = "is_false")]
    pub recorder: bool,
}

impl VideoGrant {
    /// Room of the rights; `None` is any.
    pub fn room(&self) -> Option<&str> {
        self.room.as_deref().filter(|room| !room.is_empty())
    }
}

/// The claim `aud`: one text, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Audience {
    /// True if `name` is among them.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Several(several) => several.iter().any(|one| one == name),
        }
    }
}

/// A time of a claim: whole seconds since 1970 (RFC 7519, NumericDate). Fractions are cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Seconds(pub i64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        // Saturates; JSON has neither infinities nor NaN.
        Ok(Self(number as i64))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_livekit_are_read_and_unknown_ones_ignored() {
        let claims: Claims = serde_json::from_str(
            r#"{"iss":"key","sub":"alice","nbf":1700000000,"exp":1700003600.75,"name":"Alice","metadata":"m",
                "attributes":{"team":"a"},"kind":"standard","sip":{"admin":true},
                "video":{"room":"lunch","roomJoin":true,"canPublish":false,"canPublishSources":["camera"],"agent":true}}"#,
        )
        .unwrap();
        assert_eq!(claims.exp, Some(Seconds(1_700_003_600)));
        let grant = claims.video.unwrap();
        assert_eq!((grant.room(), grant.room_join, grant.room_admin), (Some("lunch"), true, false));
        assert_eq!((grant.can_publish, grant.can_subscribe), (Some(false), None));
    }

    #[test]
    fn claims_of_the_wrong_type_are_an_error_and_huge_times_are_none() {
        for text in [r#"{"exp":"tomorrow"}"#, r#"{"video":{"roomJoin":"yes"}}"#, r#"{"sub":7}"#, "7", "null"]
        {
            serde_json::from_str::<Claims>(text).unwrap_err();
        }
        let claims: Claims = serde_json::from_str(r#"{"exp":1e300,"nbf":-1e300}"#).unwrap();
        assert_eq!((claims.exp, claims.nbf), (Some(Seconds(i64::MAX)), Some(Seconds(i64::MIN))));
    }
}
