/** What the page's URL asks for. */

import { VIDEO_CODECS } from './room/codecs';
import type { VideoCodec } from './room/codecs';

const DEFAULT_VIDEO_HEIGHT = 720;

export interface PageConfig {
  /** `roomId`: the room; null lets the user choose. */
  roomId: string | null;
  /** `peerId`: this participant's id in the room; random unless given. */
  peerId: string;
  /** `name`: the display name; null takes the remembered one. */
  displayName: string | null;
  /** `join=1`: join at once, without the lobby. */
  joinAtOnce: boolean;
  /** `codec=vp8|vp9|h264|av1`: what the camera is encoded with. */
  videoCodec: VideoCodec;
  /** `height=180…1080`: lines of the camera's picture; fewer cost less bandwidth and CPU. */
  videoHeight: number;
  /** `mic=0`, `camera=0`: start with it off. */
  mic: boolean;
  camera: boolean;
  /** `stats=1`: show statistics from the start. */
  stats: boolean;
}

export function readConfig(search: string): PageConfig {
  const params = new URLSearchParams(search);
  const codec = params.get('codec')?.toLowerCase();
  return {
    roomId: params.get('roomId')?.trim() || null,
    peerId: params.get('peerId')?.trim() || randomId(),
    displayName: params.get('name')?.trim() || null,
    joinAtOnce: params.get('join') === '1',
    videoCodec: VIDEO_CODECS.find((known) => known === codec) ?? 'vp8',
    videoHeight: heightOf(params.get('height')),
    mic: params.get('mic') !== '0',
    camera: params.get('camera') !== '0',
    stats: params.get('stats') === '1',
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

function heightOf(text: string | null): number {
  const height = Number(text ?? DEFAULT_VIDEO_HEIGHT);
  return height >= 180 && height <= 1080 ? Math.round(height) : DEFAULT_VIDEO_HEIGHT;
}

function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
