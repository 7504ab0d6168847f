/** What the app data of a producer says: in the words of mediasoup-demo, of its present and its earlier web app. */

import type { types } from 'mediasoup-client';
import type { MediaSource } from './local-media';

/** What receivers are told of a source. They choose their layers by `height`. */
export function appDataOf(source: MediaSource, height?: number): types.AppData {
  const told = height ? { height } : {};
  return isShareSource(source) ? { source: 'screensharing', share: true, ...told } : { source, ...told };
}

/** Whether a producer sends a shared screen or window, or its sound. */
export function isShare(appData: types.AppData): boolean {
  return appData['source'] === 'screensharing' || appData['share'] === true;
}

function isShareSource(source: MediaSource): boolean {
  return source === 'screen' || source === 'screenSound';
}
