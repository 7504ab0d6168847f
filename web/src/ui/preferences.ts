/** What is remembered from one visit to the next, on this device only. */
export interface Preferences {
  displayName: string;
  mic: string;
  camera: string;
  speaker: string;
  /** Lines of the camera's picture. */
  videoHeight: string;
  /** What is done to the microphone's sound, as JSON. */
  processing: string;
  /** What is received of cameras. */
  receive: string;
  theme: string;
  layout: string;
  selfView: string;
  corner: string;
}

const PREFIX = 'tureen.';

export function readPreference(name: keyof Preferences): string | undefined {
  try {
    return localStorage.getItem(PREFIX + name) ?? undefined;
  } catch {
    // Storage may be switched off.
    return undefined;
  }
}

export function rememberPreference(name: keyof Preferences, value: string): void {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // Then it is asked again next time.
  }
}
