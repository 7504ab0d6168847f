/** What there is to see in a call, from the room's state and the local media. */

import type { LocalMediaState } from '../room/local-media';
import type { ConsumerState, PeerState, RoomState } from '../room/state';

export interface TileModel {
  /** Stable while the tile lasts. */
  key: string;
  peerId: string;
  name: string;
  isSelf: boolean;
  /** Sends by a program, without a person at a browser. */
  isBroadcaster: boolean;
  /** Null shows the initials. */
  video: MediaStreamTrack | null;
  /** Names of its streams in the statistics: consumer ids, or one's own sources. */
  streams: { video: string | null; audio: string | null };
  /** The layers that come of a video that has any, as `S2 T1`. */
  layers: string | null;
  muted: boolean;
  speaking: boolean;
}

/**
 * One tile for each peer, or more for a peer that sends several videos; oneself comes last, where
 * new arrivals don't move the others.
 */
export function tilesOf(
  room: RoomState,
  media: LocalMediaState,
  self: { peerId: string; name: string },
): TileModel[] {
  const consumers = [...room.consumers.values()];
  const speaker = room.activeSpeaker?.peerId;
  const tiles = [...room.peers.values()].flatMap((peer) =>
    peerTiles(
      peer,
      consumers.filter((consumer) => consumer.peerId === peer.id),
      speaker === peer.id,
    ),
  );
  return [...tiles, selfTile(media, self, speaker === self.peerId)];
}

function peerTiles(peer: PeerState, consumers: ConsumerState[], speaking: boolean): TileModel[] {
  const audio = consumers.filter((consumer) => consumer.kind === 'audio');
  const videos = consumers.filter((consumer) => consumer.kind === 'video');
  const muted = audio.every((consumer) => consumer.paused);
  const tile = (key: string, video: ConsumerState | undefined): TileModel => ({
    key,
    peerId: peer.id,
    name: peer.displayName,
    isSelf: false,
    isBroadcaster: peer.device.flag === 'broadcaster',
    video: video && !video.paused ? video.track : null,
    streams: { video: video?.id ?? null, audio: audio[0]?.id ?? null },
    layers: video ? layersText(video) : null,
    muted,
    speaking: speaking && !muted,
  });
  const [first, ...more] = videos;
  return [tile(peer.id, first), ...more.map((video) => tile(`${peer.id}/${video.id}`, video))];
}

function selfTile(
  media: LocalMediaState,
  self: { peerId: string; name: string },
  speaking: boolean,
): TileModel {
  return {
    key: self.peerId,
    peerId: self.peerId,
    name: self.name,
    isSelf: true,
    isBroadcaster: false,
    video: media.camera.track,
    streams: { video: 'camera', audio: 'mic' },
    layers: null,
    muted: !media.mic.enabled,
    speaking: speaking && media.mic.enabled,
  };
}

function layersText({ layers: { spatialLayer, temporalLayer } }: ConsumerState): string | null {
  if (spatialLayer === null) return null;
  return temporalLayer === null ? `S${spatialLayer}` : `S${spatialLayer} T${temporalLayer}`;
}
