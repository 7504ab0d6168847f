import type { types } from 'mediasoup-client';
import { expect, it } from 'vitest';
import { VIDEO_CODECS, screenOptions, videoOptions } from './codecs';
import type { VideoOptions } from './codecs';

it('halves the picture twice at most, and not below 180 lines', () => {
  const scales = (height: number, maxLayers = 3) =>
    encodings({ maxLayers }, height).map((encoding) => encoding.scaleResolutionDownBy);
  expect(scales(1080)).toEqual([4, 2, 1]);
  expect(scales(720)).toEqual([4, 2, 1]);
  expect(scales(480)).toEqual([2, 1]);
  expect(scales(180)).toEqual([undefined]);
  expect(scales(720, 2)).toEqual([2, 1]);
});

it('gives each encoding of simulcast temporal layers', () => {
  expect(encodings({ codec: 'h264' }, 720).map(({ scalabilityMode }) => scalabilityMode)).toEqual([
    'L1T3', 'L1T3', 'L1T3',
  ]);
});

it('sends VP9 and AV1 as one stream with all layers', () => {
  for (const codec of ['vp9', 'av1'] as const) {
    expect(encodings({ codec }, 720)).toMatchObject([{ scalabilityMode: 'L3T3_KEY' }]);
    expect(encodings({ codec, maxLayers: 1 }, 720)).toMatchObject([{ scalabilityMode: 'L1T1' }]);
    expect(encodings({ codec, scalabilityMode: 'L1T2' }, 720)).toMatchObject([{ scalabilityMode: 'L1T2' }]);
  }
});

it('names the codec that can not be sent', () => {
  expect(() => videoOptions({ ...defaults, codec: 'av1' }, 720, { codecs: [] })).toThrow(/AV1/);
});

it('sends a shared screen with all its lines, before the camera', () => {
  for (const codec of VIDEO_CODECS) {
    const screen = screenOptions({ ...defaults, codec }, { codecs }).encodings;
    expect(screen).toMatchObject([{ scalabilityMode: 'L1T3', priority: 'high' }]);
    expect(screen?.[0]?.scaleResolutionDownBy).toBeUndefined();
  }
  expect(encodings({}, 720).some(({ priority }) => priority === 'high')).toBe(false);
});

const defaults: VideoOptions = { codec: 'vp8', maxLayers: 3, scalabilityMode: null };

const codecs = ['VP8', 'VP9', 'H264', 'AV1'].map((name) => ({
  kind: 'video' as const, mimeType: `video/${name}`, clockRate: 90000, preferredPayloadType: 96,
}));

function encodings(options: Partial<VideoOptions>, height: number): types.RtpEncodingParameters[] {
  return videoOptions({ ...defaults, ...options }, height, { codecs }).encodings ?? [];
}
