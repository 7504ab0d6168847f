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
 * A shared screen has two encodings: half its lines with all pictures, and all its lines, sharp as soon as it is at
 * rest, with few pictures of what moves.
 */
const SCREEN_ENCODINGS: types.RtpEncodingParameters[] = [
  { scaleResolutionDownBy: 2, maxBitrate: 250_000, maxFramerate: 30 },
  { maxBitrate: 1_500_000, maxFramerate: 15 },
];

/** Below that a shared window has one encoding: half of it would be unreadable. */
const LEAST_LINES_TO_HALVE = 480;

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

/** The encoding options of a shared screen with `height` lines; throws if the browser can't send the codec. */
export function screenOptions(
  { codec: name, maxLayers }: VideoOptions,
  height: number,
  sendRtpCapabilities: types.RtpCapabilities,
): EncodingOptions {
  const halved = !isOneStream(name) && maxLayers > 1 && height >= LEAST_LINES_TO_HALVE;
  return {
    codec: codecOf(name, sendRtpCapabilities),
    codecOptions: { videoGoogleStartBitrate: 1000 },
    // The camera of the one who presents gives way.
    encodings: SCREEN_ENCODINGS.slice(halved ? 0 : 1).map((encoding) => ({
      ...encoding,
      scalabilityMode: 'L1T3',
      priority: 'high',
    })),
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
  return {
    codec: codecOf(name, sendRtpCapabilities),
    codecOptions: { videoGoogleStartBitrate: 1000 },
    encodings: isOneStream(name)
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

/** Whether all layers of a picture are one stream (SVC), and not a stream each (simulcast). */
function isOneStream(name: VideoCodec): boolean {
  return name === 'vp9' || name === 'av1';
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
