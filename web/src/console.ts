/**
 * Object `tureen` in the browser's developer tools, to inspect a running call.
 *
 * await tureen.room.consumers.values().next().value.getStats()
 * tureen.room.state.get()
 */

import type { RoomClient } from './room/client';
import type { LocalMedia } from './room/local-media';

export interface ConsoleHandle {
  /** The current or last call: `state`, `peers`, `consumers`, `producers`, both transports. */
  room: RoomClient;
  /** Local microphone and camera. */
  media: LocalMedia;
}

declare global {
  interface Window {
    tureen?: ConsoleHandle;
  }
}

export function exposeConsoleHandle(room: RoomClient, media: LocalMedia): void {
  window.tureen = { room, media };
}
