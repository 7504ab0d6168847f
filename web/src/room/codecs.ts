/** How this side encodes what it sends. */

import type { types } from 'mediasoup-client';
import type { MediaSource } from './local-media';

export const VIDEO_CODECS = ['vp8', 'vp9', 'h264', 'av1'] as const;
export type VideoCodec = (typeof VIDEO_CODECS)[number];

type EncodingOptions = Pick<types.ProducerOptions, 'codec' | 'codecOptions' | 'encodings'>;

/** Below the room server's limit of 1.5 Mbit/s for all that a peer sends, audio and RTX included. */
const MAX_VIDEO_BITRATE = 1_200_000;

/** The encoding part of the producer options of a source; throws if the browser can't do it. */
export function encodingOptions(
  source: MediaSource,
  videoCodec: VideoCodec,
  sendRtpCapabilities: types.RtpCapabilities,
): EncodingOptions {
  if (source === 'mic') {
    return {
      codecOptions: { opusStereo: false, opusDtx: true, opusFec: true, opusNack: true },
    };
  }
  const mimeType = `video/${videoCodec}`;
  const codec = sendRtpCapabilities.codecs?.find((c) => c.mimeType.toLowerCase() === mimeType);
  if (!codec) throw new Error(`this browser or room cannot send ${videoCodec.toUpperCase()} video`);
  const hasLayers = videoCodec === 'vp9' || videoCodec === 'av1';
  return {
    codec,
    codecOptions: { videoGoogleStartBitrate: 1000 },
    encodings: [
      { maxBitrate: MAX_VIDEO_BITRATE, ...(hasLayers ? { scalabilityMode: 'L1T1' } : {}) },
    ],
  };
}
