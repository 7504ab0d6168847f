//! Admission to rooms: the one place that decides who may enter, and with which rights.
//!
//! The WebSocket of a peer and the HTTP API for broadcasters both come through here. With `[auth]` an access token decides;
//! without it whoever knows the name of a room has every right in it, under any free id.

use std::{net::IpAddr, sync::Arc};

use axum::http::{HeaderMap, header};

use crate::{
    access::{AuthError, Claims, Revocations, Source, Sources, TokenError, Verifier, VideoGrant, unix_now},
    config::ServerConfig,
    error::{Error, WrongText},
    per_address::{Full, PerAddress, Slot},
    tally::{Denied, Tally},
};

/// Longest room and participant ids (bytes).
pub(crate) const MAX_ID: usize = 256;

/// Permission to be in a room.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) room: String,
    /// The id that others know the participant by.
    pub(crate) identity: String,
    pub(crate) may: May,
    /// Display name that a token gives.
    pub(crate) name: Option<String>,
    /// A token proves the identity, so that its bearer may take the place of an earlier connection.
    pub(crate) is_proven: bool,
    /// The participant's place among those of its address, held for as long as it is in the room.
    pub(crate) slot: Option<Slot>,
}

/// Rights of a participant in its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct May {
    pub(crate) publish: bool,
    /// Sources that it may publish, if it may at all.
    pub(crate) sources: Sources,
    pub(crate) publish_data: bool,
    pub(crate) subscribe: bool,
    /// Choose its own name.
    pub(crate) rename: bool,
    /// Others are not told of it.
    pub(crate) hidden: bool,
    /// Remove others, change their rights, lock the room.
    pub(crate) moderate: bool,
}

impl May {
    const EVERYTHING: Self = Self {
        publish: true,
        sources: Sources::ALL,
        publish_data: true,
        subscribe: true,
        rename: true,
        hidden: false,
        moderate: false,
    };

    /// Rights that a token gives. What a hidden participant published would give it away, so that it may publish nothing.
    fn of(grant: &VideoGrant) -> Self {
        let publish = grant.can_publish.unwrap_or(true);
        let sources = grant.can_publish_sources.as_deref().unwrap_or_default();
        Self {
            publish,
            sources: Sources::named(sources),
            publish_data: grant.can_publish_data.unwrap_or(publish),
            subscribe: grant.can_subscribe.unwrap_or(true),
            rename: grant.can_update_own_metadata.unwrap_or(false),
            hidden: grant.hidden,
            // It takes the room, too.
            moderate: false,
        }
        .consistent()
    }

    /// The same rights without what being hidden excludes.
    pub(crate) fn consistent(self) -> Self {
        Self {
            publish: self.publish && !self.hidden,
            publish_data: self.publish_data && !self.hidden,
            ..self
        }
    }

    /// Refuses a source that may not be published.
    pub(crate) fn check_publish(self, source: Source) -> Result<(), Error> {
        match self.publish {
            false => Err(Error::NotGranted("publish")),
            true if !self.sources.has(source) => Err(Error::NotGrantedSource(source.name())),
            true => Ok(()),
        }
    }
}

/// The policy of a server, and the counts that it depends on.
pub(crate) struct Admission {
    /// `None` lets everybody in.
    verifier: Option<Verifier>,
    revocations: Arc<Revocations>,
    broadcasters: Arc<PerAddress>,
    tally: Arc<Tally>,
}

impl Admission {
    /// Reads the keys of the configuration.
    pub(crate) fn start(
        config: &ServerConfig,
        revocations: Arc<Revocations>,
        tally: Arc<Tally>,
    ) -> Result<Self, AuthError> {
        let limits = &config.limits;
        Ok(Self {
            verifier: config.auth.as_ref().map(Verifier::start).transpose()?,
            revocations,
            broadcasters: PerAddress::new(limits.max_broadcasters_per_address, limits.max_broadcasters),
            tally,
        })
    }

    /// Admits a peer, which comes by WebSocket. With a token, an id that is empty is that of the token.
    pub(crate) fn peer(&self, room: &str, peer: &str, token: Option<&str>) -> Result<Grant, Error> {
        let Some(verifier) = &self.verifier else {
            check_id("roomId", room)?;
            check_id("peerId", peer)?;
            return Ok(open(room, peer, None));
        };
        check_length("roomId", room)?;
        check_length("peerId", peer)?;
        let claims = self.claims(verifier, token)?;
        let room = Some(room).filter(|room| !room.is_empty());
        let grant = self.counted(self.join(&claims, room, peer))?;
        check_id("roomId", &grant.room)?;
        check_id("peerId", &grant.identity)?;
        Ok(grant)
    }

    /// Admits a new broadcaster, which takes a place among those of its address.
    pub(crate) fn broadcaster(
        &self,
        room: &str,
        broadcaster: &str,
        token: Option<&str>,
        address: IpAddr,
    ) -> Result<Grant, Error> {
        check_id("roomId", room)?;
        check_id("id", broadcaster)?;
        let mut grant = self.control(room, broadcaster, token)?;
        let slot = self.broadcasters.take(address).map_err(|full| {
            self.tally.count(Denied::Broadcaster);
            match full {
                Full::Address => Error::BroadcastersOfAddress,
                Full::All => Error::ServerBusy("broadcasters"),
            }
        })?;
        grant.slot = Some(slot);
        Ok(grant)
    }

    /// Admits a request about a broadcaster that is in its room: of itself, or of somebody who moderates the room. The id
    /// needs no check, because it must be that of a participant.
    pub(crate) fn control(&self, room: &str, broadcaster: &str, token: Option<&str>) -> Result<Grant, Error> {
        let Some(verifier) = &self.verifier else { return Ok(open(room, broadcaster, None)) };
        let claims = self.claims(verifier, token)?;
        self.counted(self.check_revoked(&claims, room))?;
        if moderates(&claims, room) {
            let may = May::of(&claims.video.unwrap_or_default());
            return Ok(Grant { may, ..open(room, broadcaster, None) });
        }
        self.counted(self.join(&claims, Some(room), broadcaster))
    }

    /// Admits a question about a room from somebody who need not be in it.
    pub(crate) fn look(&self, room: &str, token: Option<&str>) -> Result<(), Error> {
        check_id("roomId", room)?;
        let Some(verifier) = &self.verifier else { return Ok(()) };
        let claims = self.claims(verifier, token)?;
        self.counted(self.check_revoked(&claims, room))?;
        if moderates(&claims, room) || claims.video.as_ref().is_some_and(|grant| grant.room_list) {
            return Ok(());
        }
        self.counted(self.join(&claims, Some(room), "")).map(|_grant| ())
    }

    fn join(&self, claims: &Claims, room: Option<&str>, identity: &str) -> Result<Grant, Error> {
        let grant = join(claims, room, identity)?;
        self.check_revoked(claims, &grant.room)?;
        Ok(grant)
    }

    /// Refuses a token of somebody who was removed from the room, also where it does not ask to be in it.
    fn check_revoked(&self, claims: &Claims, room: &str) -> Result<(), Error> {
        let identity = claims.sub.as_deref().unwrap_or_default();
        self.revocations.check(room, identity, claims, unix_now()).map_err(Error::Token)
    }

    fn claims(&self, verifier: &Verifier, token: Option<&str>) -> Result<Claims, Error> {
        let token = token.ok_or(TokenError::Missing);
        token.and_then(|token| verifier.check(token, unix_now())).map_err(|error| {
            self.tally.count(error.counter());
            Error::Token(error)
        })
    }

    fn counted<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.inspect_err(|error| {
            self.tally.count(match error {
                Error::Token(error) => error.counter(),
                _ => Denied::TokenScope,
            });
        })
    }
}

/// Token of a request: a bearer token (RFC 6750 §2.1), else what the query has, because browsers can't set headers of a
/// WebSocket.
pub(crate) fn token_of<'a>(headers: &'a HeaderMap, in_query: Option<&'a str>) -> Option<&'a str> {
    let in_header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = in_header.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    bearer.or(in_query).filter(|token| !token.is_empty())
}

/// What the claims give to somebody who asks to be in `room` as `identity`; both may be left to the token.
fn join(claims: &Claims, room: Option<&str>, identity: &str) -> Result<Grant, Error> {
    let wrong = |why: &str| Error::Token(TokenError::Claims(why.to_owned()));
    let grant = claims.video.as_ref().filter(|grant| grant.room_join);
    let grant = grant.ok_or(Error::NotGranted("join rooms"))?;
    let room = match (grant.room(), room) {
        (Some(of_token), Some(asked)) if of_token != asked => {
            return Err(Error::OtherRoom(of_token.to_owned()));
        }
        (Some(room), _) | (None, Some(room)) => room,
        (None, None) => return Err(wrong("it names no room, and neither does roomId")),
    };
    let sub = claims.sub.as_deref().filter(|sub| !sub.is_empty()).ok_or_else(|| wrong("sub is missing"))?;
    if !identity.is_empty() && identity != sub {
        return Err(Error::OtherIdentity(sub.to_owned()));
    }
    Ok(Grant {
        may: May { moderate: moderates(claims, room), ..May::of(grant) },
        name: claims.name.clone().filter(|name| !name.is_empty()),
        is_proven: true,
        ..open(room, sub, None)
    })
}

/// True for a token that moderates just this room.
fn moderates(claims: &Claims, room: &str) -> bool {
    claims.video.as_ref().is_some_and(|grant| grant.room_admin && grant.room() == Some(room))
}

/// The open policy: every right for everybody.
fn open(room: &str, identity: &str, slot: Option<Slot>) -> Grant {
    Grant {
        room: room.to_owned(),
        identity: identity.to_owned(),
        may: May::EVERYTHING,
        name: None,
        is_proven: false,
        slot,
    }
}

fn check_id(what: &'static str, id: &str) -> Result<(), Error> {
    if id.is_empty() {
        return Err(Error::WrongText { what, why: WrongText::Missing });
    }
    check_length(what, id)
}

fn check_length(what: &'static str, id: &str) -> Result<(), Error> {
    let why = match id.len() {
        len if len > MAX_ID => WrongText::TooLong { len, most: MAX_ID },
        _ if id.contains(char::is_control) => WrongText::ControlCharacters,
        _ => return Ok(()),
    };
    Err(Error::WrongText { what, why })
}

#[cfg(test)]
impl Grant {
    pub(crate) fn for_test(room: &str, identity: &str) -> Self {
        open(room, identity, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(video: &str) -> Claims {
        serde_json::from_str(&format!(r#"{{"sub":"alice","name":"Alice","video":{video}}}"#)).unwrap()
    }

    #[test]
    fn a_token_is_for_its_room_and_its_identity() {
        let of_lunch = claims(r#"{"roomJoin":true,"room":"lunch"}"#);
        let grant = join(&of_lunch, None, "").unwrap();
        assert_eq!((grant.room.as_str(), grant.identity.as_str()), ("lunch", "alice"));
        join(&of_lunch, Some("lunch"), "alice").unwrap();
        assert!(
            matches!(join(&of_lunch, Some("dinner"), "alice"), Err(Error::OtherRoom(room)) if room == "lunch")
        );
        assert!(
            matches!(join(&of_lunch, Some("lunch"), "bob"), Err(Error::OtherIdentity(sub)) if sub == "alice")
        );
        let of_any = claims(r#"{"roomJoin":true}"#);
        assert_eq!(join(&of_any, Some("dinner"), "").unwrap().room, "dinner");
        assert!(matches!(join(&of_any, None, ""), Err(Error::Token(TokenError::Claims(_)))));
        for video in ["{}", r#"{"room":"lunch","roomAdmin":true}"#, "null"] {
            assert!(matches!(join(&claims(video), Some("lunch"), ""), Err(Error::NotGranted(_))), "{video}");
        }
        let nobody = Claims { sub: None, ..of_lunch };
        assert!(matches!(join(&nobody, Some("lunch"), ""), Err(Error::Token(TokenError::Claims(_)))));
    }

    #[test]
    fn absent_rights_are_those_of_livekit() {
        let may = |video: &str| May::of(&claims(video).video.unwrap());
        assert_eq!(may(r#"{"roomJoin":true}"#), May { rename: false, ..May::EVERYTHING });
        assert_eq!(may(r#"{"canUpdateOwnMetadata":true}"#), May::EVERYTHING);
        let viewer = may(r#"{"canPublish":false}"#);
        assert_eq!((viewer.publish, viewer.publish_data, viewer.subscribe), (false, false, true));
        let chats = may(r#"{"canPublish":false,"canPublishData":true}"#);
        assert_eq!((chats.publish, chats.publish_data), (false, true));
        let hidden = may(r#"{"hidden":true,"canPublish":true,"canPublishData":true}"#);
        assert_eq!((hidden.publish, hidden.publish_data, hidden.hidden), (false, false, true));
        let speaks = may(r#"{"canPublishSources":["microphone"]}"#);
        speaks.check_publish(Source::Microphone).unwrap();
        let error = speaks.check_publish(Source::Camera).unwrap_err();
        assert_eq!(error.to_string(), "this participant may not publish the source camera");
    }

    #[test]
    fn whoever_moderates_a_room_moderates_no_other() {
        let admin = claims(r#"{"roomAdmin":true,"room":"lunch"}"#);
        assert!(moderates(&admin, "lunch") && !moderates(&admin, "dinner"));
        for video in [
            r#"{"roomAdmin":true}"#,
            r#"{"roomAdmin":true,"room":""}"#,
            r#"{"room":"lunch","roomJoin":true}"#,
        ] {
            assert!(!moderates(&claims(video), "lunch") && !moderates(&claims(video), ""), "{video}");
        }
    }

    #[test]
    fn the_header_goes_before_the_query() {
        let mut headers = HeaderMap::new();
        assert_eq!(token_of(&headers, Some("b")), Some("b"));
        assert_eq!(token_of(&headers, Some("")), None);
        headers.insert(header::AUTHORIZATION, "bearer a".parse().unwrap());
        assert_eq!(token_of(&headers, Some("b")), Some("a"));
        headers.insert(header::AUTHORIZATION, "Basic YTpi".parse().unwrap());
        assert_eq!(token_of(&headers, Some("b")), Some("b"), "a proxy's password is no token");
    }
}
