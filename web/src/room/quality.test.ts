import { expect, it } from 'vitest';
import type { ConsumerScore } from '../signaling/protocol';
import { ownQuality, qualityOf } from './quality';
import { initialRoomState } from './state';
import type { ConsumerState, RoomState } from './state';

it('is that of the worst stream, and says whose way loses packets', () => {
  expect(qualityOf('ada', room([10, 10], [9, 10]))).toEqual({ bars: 3, weak: null });
  expect(qualityOf('ada', room([10, 10], [10, 6]))).toEqual({ bars: 2, weak: 'theirs' });
  expect(qualityOf('ada', room([3, 10]))).toEqual({ bars: 1, weak: 'yours' });
});

it('is unknown where nothing is received', () => {
  expect(qualityOf('bob', room([1, 1]))).toBeNull();
  expect(qualityOf('ada', room())).toBeNull();
  const paused = room([1, 1]);
  expect(qualityOf('ada', { ...paused, consumers: changed(paused, { paused: true }) })).toBeNull();
  const noLayer: Partial<ConsumerState> = { type: 'simulcast', layers: { spatialLayer: null, temporalLayer: null } };
  expect(qualityOf('ada', { ...paused, consumers: changed(paused, noLayer) })).toBeNull();
});

it('of this side does not count encodings that rest', () => {
  const scores = (...streams: number[]) =>
    streams.map((score, encodingIdx) => ({ ssrc: encodingIdx, score, encodingIdx }));
  const own = (...producers: number[][]) =>
    ownQuality({
      ...initialRoomState,
      producerScores: new Map(producers.map((streams, index) => [`${index}`, scores(...streams)])),
    });
  expect(own()).toBeNull();
  expect(own([10], [10, 10, 0])).toEqual({ bars: 3, weak: null });
  expect(own([10], [4, 0])).toEqual({ bars: 1, weak: 'yours' });
});

/** A room with consumers of ada's streams, by the scores of the way to here and of hers to the server. */
function room(...scores: [score: number, producerScore: number][]): RoomState {
  const consumers = scores.map(([score, producerScore], index): ConsumerState => ({
    id: `${index}`,
    peerId: 'ada',
    producerId: `p${index}`,
    kind: 'audio',
    type: 'simple',
    share: false,
    track: {} as MediaStreamTrack,
    paused: false,
    score: { score, producerScore, producerScores: [producerScore] } satisfies ConsumerScore,
    layers: { spatialLayer: null, temporalLayer: null },
  }));
  return { ...initialRoomState, consumers: new Map(consumers.map((one) => [one.id, one])) };
}

function changed({ consumers }: RoomState, change: Partial<ConsumerState>): RoomState['consumers'] {
  return new Map([...consumers].map(([id, consumer]) => [id, { ...consumer, ...change }]));
}
