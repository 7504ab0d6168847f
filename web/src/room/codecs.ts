/** How this side encodes what it sends. */

import type { types } from 'mediasoup-client';

export const VIDEO_CODECS = ['vp8', 'vp9', 'h264', 'av1'] as const;
export type VideoCodec = (typeof VIDEO_CODECS)[number];

/** How the camera is encoded. */
export interface VideoOptions {
  codec: VideoCodec;
  /** The most encodings (VP8, H264) or spatial layers (VP9, AV1), 1 to 3. Small pictures have fewer. */
  maxLayers: number;
  /** The scalability mode of each encoding, as `L1T3` or `L3T3_KEY`; null takes the codec's usual one. */
  scalabilityMode: string | null;
}

type EncodingOptions = Pick<types.ProducerOptions, 'codec' | 'codecOptions' | 'encodings'>;

/**
 * Bits per second of each encoding, by how many there are. All together are below what libwebrtc
 * sends under the room server's limit of 1.5 Mbit/s for a peer, audio and RTX included: the largest
 * gives way.
 */
const MAX_BITRATES: Record<number, number[]> = {
  1: [1_200_000],
  2: [150_000, 900_000],
  3: [100_000, 400_000, 1_200_000],
};

/**
 * A shared screen has one encoding: where bits are short it has fewer pictures, by its temporal layers, rather than
 * fewer lines, because small text is no text. The camera of the one who presents gives way to it.
 */
const SCREEN_ENCODING: types.RtpEncodingParameters = {
  maxBitrate: 1_500_000,
  maxFramerate: 30,
  scalabilityMode: 'L1T3',
  priority: 'high',
};

/** Bits per second of a screen's sound: music, in stereo. */
const SCREEN_SOUND_BITRATE = 96_000;

/** The codec options of the microphone. */
export function soundOptions(): EncodingOptions {
  return { codecOptions: { opusStereo: false, opusDtx: true, opusFec: true, opusNack: true } };
}

/** The codec options of a shared screen's sound. */
export function screenSoundOptions(): EncodingOptions {
  return {
    codecOptions: { opusStereo: true, opusDtx: false, opusNack: true, opusMaxAverageBitrate: SCREEN_SOUND_BITRATE },
  };
}

/** The encoding options of a shared screen; throws if the browser can't send the codec. */
export function screenOptions(
  { codec: name }: VideoOptions,
  sendRtpCapabilities: types.RtpCapabilities,
): EncodingOptions {
  return {
    codec: codecOf(name, sendRtpCapabilities),
    codecOptions: { videoGoogleStartBitrate: 1000 },
    encodings: [{ ...SCREEN_ENCODING }],
  };
}

/**
 * The encoding options of a camera with pictures of `height` lines; throws if the browser can't
 * send the codec.
 */
export function videoOptions(
  { codec: name, maxLayers, scalabilityMode }: VideoOptions,
  height: number,
  sendRtpCapabilities: types.RtpCapabilities,
): EncodingOptions {
  const layers = Math.min(maxLayers, layersFor(height));
  const inOneStream = name === 'vp9' || name === 'av1';
  return {
    codec: codecOf(name, sendRtpCapabilities),
    codecOptions: { videoGoogleStartBitrate: 1000 },
    encodings: inOneStream
      ? [svcEncoding(scalabilityMode ?? svcMode(layers))]
      : simulcastEncodings(layers, scalabilityMode),
  };
}

function codecOf(name: VideoCodec, { codecs }: types.RtpCapabilities): types.RtpCodecCapability {
  const mimeType = `video/${name}`;
  const codec = codecs?.find((c) => c.mimeType.toLowerCase() === mimeType);
  if (!codec) throw new Error(`this browser or room cannot send ${name.toUpperCase()} video`);
  return codec;
}

/** How often the picture can be halved with a use: 180 lines are the least. */
function layersFor(height: number): number {
  if (height >= 720) return 3;
  return height >= 360 ? 2 : 1;
}

function svcMode(layers: number): string {
  return layers === 1 ? 'L1T1' : `L${layers}T3_KEY`;
}

function svcEncoding(scalabilityMode: string): types.RtpEncodingParameters {
  return { maxBitrate: MAX_BITRATES[1]?.[0], scalabilityMode };
}

/** Smallest first, each with twice the lines of the one before. */
function simulcastEncodings(
  count: number,
  scalabilityMode: string | null,
): types.RtpEncodingParameters[] {
  const mode = scalabilityMode ?? (count > 1 ? 'L1T3' : null);
  return (MAX_BITRATES[count] ?? []).map((maxBitrate, index) => ({
    maxBitrate,
    ...(count > 1 ? { scaleResolutionDownBy: 2 ** (count - 1 - index) } : {}),
    ...(mode ? { scalabilityMode: mode } : {}),
  }));
}
