import { expect, it } from 'vitest';
import { figuresBetween, readReport } from './report';

const codec = { id: 'c', type: 'codec', timestamp: 0, mimeType: 'video/VP8' };

it('computes rates from two snapshots', () => {
  const inbound = (timestamp: number, bytesReceived: number, framesDecoded: number, packetsLost: number) =>
    read(codec, {
      id: 'i', type: 'inbound-rtp', timestamp, mid: '0', codecId: 'c', bytesReceived, framesDecoded,
      packetsLost, packetsReceived: framesDecoded * 3, frameWidth: 640, frameHeight: 360,
    });
  const figures = figuresBetween(inbound(1000, 1000, 10, 0), inbound(3000, 251_000, 70, 20), '0');
  expect(figures).toEqual({
    bitrate: 1_000_000,
    picture: { width: 640, height: 360, frameRate: 30 },
    loss: 0.1,
    roundTrip: null,
    codec: 'VP8',
    encodings: [],
  });
});

it('adds up the active encodings of a simulcast stream', () => {
  const outbound = (at: number, bytes: number[]) =>
    read(
      codec,
      ...bytes.map((bytesSent, index) => ({
        id: `o${index}`, type: 'outbound-rtp', timestamp: at, mid: '1', rid: `r${index}`, codecId: 'c',
        bytesSent, framesEncoded: at / 40, frameWidth: 320 << index, frameHeight: 180 << index,
      })),
      { id: 'r', type: 'remote-inbound-rtp', timestamp: at, localId: 'o1', fractionLost: 0.25, roundTripTime: 0.05 },
    );
  const figures = figuresBetween(outbound(1000, [0, 0, 0]), outbound(2000, [0, 25_000, 50_000]), '1');
  expect(figures).toMatchObject({
    bitrate: 600_000,
    picture: { width: 1280, height: 720, frameRate: 25 },
    loss: 0.25,
    roundTrip: 50,
    encodings: [
      { rid: 'r1', height: 360, bitrate: 200_000 },
      { rid: 'r2', height: 720, bitrate: 400_000 },
    ],
  });
});

it('reads round trip and capacity from the selected ICE pair', () => {
  const pair = { type: 'candidate-pair', timestamp: 5, nominated: true };
  const { roundTrip, available } = read(
    { ...pair, id: 'a', state: 'failed', currentRoundTripTime: 9 },
    { ...pair, id: 'b', state: 'succeeded', currentRoundTripTime: 0.02, availableOutgoingBitrate: 3e6 },
  );
  expect({ roundTrip, available }).toEqual({ roundTrip: 20, available: 3e6 });
});

it('has no figures for a stream that is new or whose counters restarted', () => {
  const look = (timestamp: number, bytesReceived: number) =>
    read({ id: 'i', type: 'inbound-rtp', timestamp, mid: '0', bytesReceived });
  expect(figuresBetween(read(), look(2000, 5), '0')).toBeNull();
  expect(figuresBetween(look(1000, 50), look(2000, 5), '0')).toBeNull();
  expect(figuresBetween(look(1000, 5), look(1000, 5), '0')).toBeNull();
});

function read(...entries: { id: string; [field: string]: unknown }[]) {
  return readReport(new Map(entries.map((entry) => [entry.id, entry])) as unknown as RTCStatsReport);
}
