/** What the page's URL asks for. */

import { claimsOf } from './access';
import { VIDEO_CODECS } from './room/codecs';
import type { VideoOptions } from './room/codecs';
import type { SessionOptions } from './room/session';

/** The heights of the camera's picture that the settings offer. */
export const VIDEO_HEIGHTS = [180, 360, 720, 1080] as const;
export const DEFAULT_VIDEO_HEIGHT = 720;
const DEFAULT_LAYERS = 3;

export interface PageConfig {
  /** `roomId`: the room; null lets the user choose. */
  roomId: string | null;
  /** `access_token`: the token that lets this participant in; null without one. */
  accessToken: string | null;
  /** `peerId`, or the identity of the token: this participant's id in the room; random unless given. */
  peerId: string;
  /** Then somebody with this id may be in the room, whose place is taken by connecting. */
  peerIdIsGiven: boolean;
  /** `name`: the display name; null takes the remembered one. */
  displayName: string | null;
  /** `join=1`: join at once, without the lobby. */
  joinAtOnce: boolean;
  /** How the camera is encoded: see `readVideoOptions`. */
  video: VideoOptions;
  /**
   * `height=180…1080`: lines of the camera's picture; fewer cost less bandwidth and CPU. Null takes the
   * remembered ones.
   */
  videoHeight: number | null;
  /** `mic=0`, `camera=0`: start with it off. */
  mic: boolean;
  camera: boolean;
  /** `forceTcp=1`: media over TCP only; `datachannel=0`: without chat. */
  session: SessionOptions;
  /** `stats=1`: show statistics from the start. */
  stats: boolean;
}

export function readConfig(search: string, accessToken: string | null = null): PageConfig {
  const params = new URLSearchParams(search);
  const claims = accessToken ? claimsOf(accessToken) : null;
  const peerId = claims?.identity ?? params.get('peerId')?.trim();
  return {
    roomId: params.get('roomId')?.trim() || claims?.roomId || null,
    accessToken,
    peerId: peerId || randomId(),
    peerIdIsGiven: Boolean(peerId),
    displayName:
      (params.get('name') ?? params.get('displayName'))?.trim() || claims?.displayName || null,
    joinAtOnce: params.get('join') === '1',
    video: readVideoOptions(params),
    videoHeight: heightOf(params.get('height')),
    mic: params.get('mic') !== '0',
    camera: params.get('camera') !== '0',
    session: {
      forceTcp: isOn(params, 'forceTcp'),
      data: !['0', 'false'].includes(params.get('datachannel') ?? ''),
    },
    stats: isOn(params, 'stats'),
  };
}

/** The link that brings others to a room. */
export function roomUrl(origin: string, roomId: string): string {
  return `${origin}/?${new URLSearchParams({ roomId })}`;
}

/** A room name that is easy to say and unlikely to be taken. */
export function suggestRoomId(): string {
  const adjectives = ['amber', 'calm', 'copper', 'gentle', 'golden', 'misty', 'quiet', 'silver'];
  const nouns = ['basil', 'broth', 'ginger', 'kettle', 'ladle', 'pepper', 'saffron', 'thyme'];
  const [a = 0, b = 0, c = 0] = crypto.getRandomValues(new Uint16Array(3));
  const pick = (words: string[], n: number) => words[n % words.length];
  return `${pick(adjectives, a)}-${pick(nouns, b)}-${100 + (c % 900)}`;
}

/**
 * `codec=vp8|vp9|h264|av1`, `layers=1|2|3` and `scalabilityMode`; or as mediasoup-demo has them:
 * `forceVP9=true` and the like, `numSimulcastStreams`, `enableWebcamLayers`, `webcamScalabilityMode`.
 */
function readVideoOptions(params: URLSearchParams): VideoOptions {
  const named = params.get('codec')?.toLowerCase();
  const forced = VIDEO_CODECS.find((codec) => isOn(params, `force${codec.toUpperCase()}`));
  const layers = Number(params.get('layers') ?? params.get('numSimulcastStreams') ?? DEFAULT_LAYERS);
  const flat = params.get('enableWebcamLayers') === 'false';
  return {
    codec: VIDEO_CODECS.find((known) => known === named) ?? forced ?? 'vp8',
    maxLayers: flat || !(layers >= 1) ? 1 : Math.min(3, Math.floor(layers)),
    scalabilityMode: params.get('scalabilityMode') ?? params.get('webcamScalabilityMode'),
  };
}

function isOn(params: URLSearchParams, name: string): boolean {
  return ['1', 'true'].includes(params.get(name) ?? '');
}

/** Null for what is no height that can be asked for. */
export function heightOf(text: string | null | undefined): number | null {
  const height = Number(text ?? NaN);
  return height >= 180 && height <= 1080 ? Math.round(height) : null;
}

function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
