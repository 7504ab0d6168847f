/** What was chosen of devices in earlier visits, and what of the present choice is kept for later ones. */

import { DEFAULT_VIDEO_HEIGHT, heightOf } from '../config';
import type { LocalMediaChoice, LocalMediaState, Processing } from '../room/local-media';
import { readPreference, rememberPreference } from './preferences';

/** `videoHeight` goes before the remembered one. */
export function chosenMedia(videoHeight: number | null): LocalMediaChoice {
  return {
    mic: readPreference('mic'),
    camera: readPreference('camera'),
    speaker: readPreference('speaker'),
    processing: processingOf(readPreference('processing')),
    videoHeight: videoHeight ?? heightOf(readPreference('videoHeight')) ?? DEFAULT_VIDEO_HEIGHT,
  };
}

/** `asked` is the height that the page's URL asks for, which is not kept. */
export function rememberMedia(media: LocalMediaState, asked: number | null): void {
  const { mic, camera, speakerId, processing, videoHeight } = media;
  if (mic.track && mic.deviceId) rememberPreference('mic', mic.deviceId);
  if (camera.track && camera.deviceId) rememberPreference('camera', camera.deviceId);
  if (speakerId !== null) rememberPreference('speaker', speakerId);
  rememberPreference('processing', JSON.stringify(processing));
  if (videoHeight !== asked) rememberPreference('videoHeight', String(videoHeight));
}

/** Storage is the user's to change: whatever else is there counts for nothing. */
export function processingOf(text: string | undefined): Partial<Processing> {
  const processing: Partial<Processing> = {};
  try {
    const stored: unknown = JSON.parse(text ?? 'null');
    if (typeof stored !== 'object' || stored === null) return processing;
    for (const name of ['echoCancellation', 'noiseSuppression', 'autoGainControl'] as const) {
      const value = (stored as Record<string, unknown>)[name];
      if (typeof value === 'boolean') processing[name] = value;
    }
  } catch {
    // Not JSON.
  }
  return processing;
}
