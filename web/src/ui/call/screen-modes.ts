/** Full screen, a picture over other windows, and a screen that stays awake: where the browser has them. */

import { useEffect } from 'preact/hooks';

export function canFullScreen(): boolean {
  return document.fullscreenEnabled === true;
}

export function toggleFullScreen(): void {
  const done = document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen();
  done.catch((error: unknown) => console.warn('no full screen', error));
}

export function canPictureInPicture(): boolean {
  return document.pictureInPictureEnabled === true;
}

/** Shows the large tile, or else the first of somebody else, in a window of its own; or brings it back. */
export async function togglePictureInPicture(): Promise<void> {
  try {
    if (document.pictureInPictureElement) return await document.exitPictureInPicture();
    const candidates = ['.tile.large video', '.tile:not(.corner) video', '.tile video'];
    const video = candidates.map((each) => document.querySelector<HTMLVideoElement>(each)).find(Boolean);
    await video?.requestPictureInPicture();
  } catch (error) {
    console.warn('no picture in picture', error);
  }
}

/** Keeps the screen from going dark during a call. */
export function useWakeLock(): void {
  useEffect(() => {
    let lock: WakeLockSentinel | undefined;
    let over = false;
    const request = async () => {
      // The browser takes it back whenever the page is hidden.
      if (document.hidden || !('wakeLock' in navigator)) return;
      try {
        lock = await navigator.wakeLock.request('screen');
        if (over) void lock.release();
      } catch (error) {
        // As with an empty battery.
        console.debug('the screen may go dark', error);
      }
    };
    void request();
    document.addEventListener('visibilitychange', request);
    return () => {
      over = true;
      document.removeEventListener('visibilitychange', request);
      void lock?.release();
    };
  }, []);
}
