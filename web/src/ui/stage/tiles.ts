/** What there is to see in a call, from the room's state and the local media. */

import type { LocalMediaState } from '../../room/local-media';
import type { ConsumerState, PeerState, RoomState } from '../../room/state';

export interface TileModel {
  /** Stable while the tile lasts, and the same after a reconnection for a peer's first camera. */
  key: string;
  /** A shared screen is never cropped. */
  kind: 'camera' | 'screen';
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
 * Shared screens first, oldest first; then one tile for each peer, or more for a peer that sends several cameras;
 * oneself comes last, where new arrivals don't move the others.
 */
export function tilesOf(
  room: RoomState,
  media: LocalMediaState,
  self: { peerId: string; name: string },
): TileModel[] {
  const consumers = [...room.consumers.values()];
  const speaker = room.activeSpeaker?.peerId;
  const cameras = [...room.peers.values()].flatMap((peer) =>
    cameraTiles(
      peer,
      consumers.filter((consumer) => consumer.peerId === peer.id && !consumer.share),
      speaker === peer.id,
    ),
  );
  return [
    ...screenTiles(room.peers, consumers),
    ...cameras,
    ...(media.screen.track ? [ownScreenTile(media.screen.track, self)] : []),
    selfTile(media, self, speaker === self.peerId),
  ];
}

/** The tile as long as cameras of others are not wanted. */
export function withoutCamera(tile: TileModel): TileModel {
  return tile.kind === 'camera' && !tile.isSelf ? { ...tile, video: null } : tile;
}

function screenTiles(peers: RoomState['peers'], consumers: ConsumerState[]): TileModel[] {
  const shared = consumers.filter(({ share, paused }) => share && !paused);
  return shared.flatMap((video): TileModel[] => {
    const peer = peers.get(video.peerId);
    if (!peer || video.kind !== 'video') return [];
    const sound = shared.find(({ kind, peerId }) => kind === 'audio' && peerId === peer.id);
    return [
      {
        ...screenTile(`${peer.id}/${video.producerId}`, peer.id, peer.displayName, video.track),
        streams: { video: video.id, audio: sound?.id ?? null },
        layers: layersText(video),
      },
    ];
  });
}

function ownScreenTile(track: MediaStreamTrack, self: { peerId: string; name: string }): TileModel {
  const streams = { video: 'screen', audio: 'screenSound' };
  return { ...screenTile(`${self.peerId}/screen`, self.peerId, self.name, track), isSelf: true, streams };
}

function screenTile(key: string, peerId: string, name: string, video: MediaStreamTrack): TileModel {
  return {
    key,
    kind: 'screen',
    peerId,
    name,
    isSelf: false,
    isBroadcaster: false,
    video,
    streams: { video: null, audio: null },
    layers: null,
    muted: false,
    speaking: false,
  };
}

function cameraTiles(peer: PeerState, consumers: ConsumerState[], speaking: boolean): TileModel[] {
  const audio = consumers.filter((consumer) => consumer.kind === 'audio');
  const videos = consumers.filter((consumer) => consumer.kind === 'video');
  const muted = audio.every((consumer) => consumer.paused);
  const tile = (key: string, video: ConsumerState | undefined): TileModel => ({
    key,
    kind: 'camera',
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
    kind: 'camera',
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
