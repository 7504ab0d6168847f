/**
 * The console handle: `tureen` in the browser's developer tools, to look into a running call.
 *
 *     await tureen.room.consumers.values().next().value.getStats()
 *     tureen.room.state.get()
 */

import type { RoomClient } from './room/client';
import type { LocalMedia } from './room/local-media';

export interface ConsoleHandle {
  /** The present or last call: `state`, `peers`, `consumers`, `producers`, both transports. */
  room: RoomClient;
  /** Microphone and camera of this side. */
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
