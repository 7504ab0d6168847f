//! Requests of participants who moderate their room.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tureen::prelude::MediaKind;

use crate::{access::Sources, admission::May, error::Error, room::Participant, signaling::json::read};

/// Methods that only a moderator may use.
const METHODS: &[&str] = &[
    "kickPeer",
    "mutePeer",
    "askToUnmute",
    "muteOthers",
    "setPeerPermissions",
    "lockRoom",
    "setLobby",
    "getWaitingPeers",
    "admitPeer",
    "denyPeer",
    "admitAll",
    "setMaxPeers",
];

/// True for a method that only a moderator may use.
pub(super) fn is_one(method: &str) -> bool {
    METHODS.contains(&method)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfPeer {
    peer_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kick {
    peer_id: String,
    /// No token is good before this time has passed.
    #[serde(default)]
    ban_seconds: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mute {
    peer_id: String,
    kind: MediaKind,
    /// LiveKit's names; absent or empty is all of the kind.
    #[serde(default)]
    sources: Vec<String>,
}

#[derive(Deserialize)]
struct Locked {
    locked: bool,
}

#[derive(Deserialize)]
struct Enabled {
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MaxPeers {
    #[serde(default)]
    max_peers: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangePermissions {
    peer_id: String,
    permissions: Changes,
}

/// Rights to be changed; absent ones stay.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Changes {
    can_publish: Option<bool>,
    can_publish_sources: Option<Vec<String>>,
    can_publish_data: Option<bool>,
    can_subscribe: Option<bool>,
    can_update_own_metadata: Option<bool>,
    hidden: Option<bool>,
}

impl Changes {
    fn of(&self, may: May) -> May {
        May {
            publish: self.can_publish.unwrap_or(may.publish),
            sources: self.can_publish_sources.as_deref().map_or(may.sources, Sources::named),
            publish_data: self.can_publish_data.unwrap_or(may.publish_data),
            subscribe: self.can_subscribe.unwrap_or(may.subscribe),
            rename: self.can_update_own_metadata.unwrap_or(may.rename),
            hidden: self.hidden.unwrap_or(may.hidden),
            moderate: may.moderate,
        }
    }
}

/// Rights as clients are told them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Permissions {
    can_publish: bool,
    /// Empty is all, as in a token.
    can_publish_sources: Vec<&'static str>,
    can_publish_data: bool,
    can_subscribe: bool,
    can_update_own_metadata: bool,
    hidden: bool,
}

impl From<May> for Permissions {
    fn from(may: May) -> Self {
        Self {
            can_publish: may.publish,
            can_publish_sources: may.sources.names().unwrap_or_default(),
            can_publish_data: may.publish_data,
            can_subscribe: may.subscribe,
            can_update_own_metadata: may.rename,
            hidden: may.hidden,
        }
    }
}

/// Carries out a request of `moderator`, if it is one.
pub(super) async fn carry_out(moderator: &Participant, method: &str, data: Value) -> Result<Value, Error> {
    moderator.check_moderates()?;
    let room = moderator.room();
    match method {
        "kickPeer" => {
            let Kick { peer_id, ban_seconds } = read(data)?;
            room.kick(&peer_id, ban_seconds.map(|seconds| Duration::from_secs(seconds.into())))?;
        }
        "denyPeer" => {
            let OfPeer { peer_id } = read(data)?;
            room.kick(&peer_id, None)?;
        }
        "mutePeer" => {
            let Mute { peer_id, kind, sources } = read(data)?;
            room.mute(&peer_id, kind, Sources::named(&sources)).await?;
        }
        "askToUnmute" => {
            let Mute { peer_id, kind, sources } = read(data)?;
            room.ask_to_unmute(&peer_id, kind, Sources::named(&sources))?;
        }
        "muteOthers" => {
            #[derive(Deserialize)]
            #[serde(rename_all = "camelCase")]
            struct Except {
                #[serde(default)]
                except_peer_id: Option<String>,
            }
            let Except { except_peer_id } = read(data)?;
            let mut except = vec![moderator.id()];
            except.extend(except_peer_id.as_deref());
            return Ok(json!({ "count": room.mute_others(&except).await }));
        }
        "setPeerPermissions" => {
            let ChangePermissions { peer_id, permissions } = read(data)?;
            let may = room.update_rights(&peer_id, |may| permissions.of(may)).await?;
            return crate::signaling::json::write(&Permissions::from(may));
        }
        "lockRoom" => {
            let Locked { locked } = read(data)?;
            room.set_locked(locked);
        }
        "setLobby" => {
            let Enabled { enabled } = read(data)?;
            room.set_lobby(enabled);
        }
        "getWaitingPeers" => {
            let waiting = room.waiting();
            let peers = waiting.iter().map(|peer| json!({ "id": peer.id, "displayName": peer.display_name }));
            return Ok(json!({ "peers": peers.collect::<Vec<_>>() }));
        }
        "admitPeer" => {
            let OfPeer { peer_id } = read(data)?;
            room.admit(&peer_id)?;
        }
        "admitAll" => return Ok(json!({ "count": room.admit_all() })),
        "setMaxPeers" => {
            let MaxPeers { max_peers } = read(data)?;
            room.set_max_peers(max_peers);
        }
        method => return Err(Error::UnknownMethod(method.to_owned())),
    }
    Ok(json!({}))
}
