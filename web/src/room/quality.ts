/** How good the connection of a participant is, by the scores that the server gives streams (0 to 10). */

import type { RoomState } from './state';

export interface Quality {
  /** 1 to 3. */
  bars: number;
  /** Whose way to the server loses packets; null where all is well. */
  weak: 'theirs' | 'yours' | null;
}

const GOOD = 8;
const FAIR = 5;

/** Of one of the others; null while nothing tells, as when nothing of them is received. */
export function qualityOf(peerId: string, { consumers }: RoomState): Quality | null {
  const scores = [...consumers.values()].flatMap((consumer) => {
    const { score, layers, type, paused } = consumer;
    // Without a layer nothing is sent, which is no fault of the connection.
    const flows = !paused && (type === 'simple' || layers.spatialLayer !== null);
    return score && flows && consumer.peerId === peerId ? score : [];
  });
  if (scores.length === 0) return null;
  const theirs = Math.min(...scores.map(({ producerScore }) => producerScore));
  const yours = Math.min(...scores.map(({ score }) => score));
  const worst = Math.min(theirs, yours);
  return { bars: barsOf(worst), weak: worst >= GOOD ? null : theirs <= yours ? 'theirs' : 'yours' };
}

/** Of this side; null while it sends nothing. */
export function ownQuality({ producerScores }: RoomState): Quality | null {
  // Of simulcast, streams that are not being sent have 0.
  const best = [...producerScores.values()].map((streams) => Math.max(0, ...streams.map(({ score }) => score)));
  if (best.length === 0) return null;
  const worst = Math.min(...best);
  return { bars: barsOf(worst), weak: worst >= GOOD ? null : 'yours' };
}

function barsOf(score: number): number {
  if (score >= GOOD) return 3;
  return score >= FAIR ? 2 : 1;
}
