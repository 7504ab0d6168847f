/** Asks the user for a screen, a window or a tab to share. */

/** Larger screens are scaled down to fit: text stays readable, and the bits suffice for it. */
const MAX_WIDTH = 1920;
const MAX_HEIGHT = 1200;

/** What the browsers know beyond TypeScript's types. */
interface CaptureOptions extends DisplayMediaStreamOptions {
  /** Whether the tab of the call itself is offered, which shows itself in itself. */
  selfBrowserSurface: 'exclude';
  surfaceSwitching: 'include';
  systemAudio: 'include';
}

export interface ScreenTracks {
  picture: MediaStreamTrack;
  /** Null where the browser gives none: what is chosen has no sound, or the user wants none. */
  sound: MediaStreamTrack | null;
}

/** Phones have no way to share a screen from a web page. */
export function canShareScreen(): boolean {
  return typeof navigator.mediaDevices?.getDisplayMedia === 'function';
}

/** Null when the user changed their mind; rejects with a DOMException where it can't be. */
export async function captureScreen(): Promise<ScreenTracks | null> {
  const options: CaptureOptions = {
    video: { width: { max: MAX_WIDTH }, height: { max: MAX_HEIGHT }, frameRate: { max: 30 } },
    // It is meant for others as it is, music too.
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    selfBrowserSurface: 'exclude',
    surfaceSwitching: 'include',
    systemAudio: 'include',
  };
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia(options);
    const [picture] = stream.getVideoTracks();
    const [sound = null] = stream.getAudioTracks();
    if (!picture) return null;
    // Rather fewer pictures than blurred text.
    picture.contentHint = 'text';
    if (sound) sound.contentHint = 'music';
    return { picture, sound };
  } catch (error) {
    if (isChangeOfMind(error)) return null;
    throw error;
  }
}

/** Where the system refuses, Chromium says so in the message; the name is the same. */
function isChangeOfMind(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'NotAllowedError' && !/system/i.test(error.message);
}
