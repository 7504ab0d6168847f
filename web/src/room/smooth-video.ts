/**
 * Delays video a little on lossy lines with a long round trip, so that retransmitted packets arrive in time.
 *
 * Browsers show a frame as soon as they can. Two browsers that send to each other know the round trip time and wait for
 * it after losses. A browser that only receives, as from a server, does not know it: repaired frames are late and
 * dropped, a quarter of them at 5 % loss and 50 ms in each direction, or the video freezes for a moment.
 */

import type { types } from 'mediasoup-client';

/** Interval of measurements. */
const INTERVAL_MS = 1000;

/** First delay of frames, its step if the delay is too short, and its maximum. */
const FIRST_MS = 100;
const STEP_MS = 50;
const MOST_MS = 250;

/** Fraction of packets requested again from which on a line counts as lossy. */
const LOSSY = 0.01;

/** Fraction of late frames from which on a delay is useful. */
const LATE = 0.05;

/** Number of measurements without loss after which the delay is reduced. */
const CALM_LOOKS = 10;

/** Received since the last measurement. */
export interface Received {
  packets: number;
  /** Packets requested by NACK. */
  nacks: number;
  pictures: number;
  /** Frames that arrived too late to be shown. */
  late: number;
  freezes: number;
}

/** Jitter buffer target of one video. */
export class JitterTarget {
  #ms = 0;
  #calm = 0;

  /** Returns the new target in milliseconds. */
  next({ packets, nacks, pictures, late, freezes }: Received): number {
    this.#calm = nacks === 0 ? this.#calm + 1 : 0;
    if (nacks > packets * LOSSY && (late > pictures * LATE || freezes > 0)) {
      this.#ms = this.#ms === 0 ? FIRST_MS : Math.min(this.#ms + STEP_MS, MOST_MS);
    } else if (this.#calm === CALM_LOOKS) {
      this.#calm = 0;
      this.#ms = this.#ms > FIRST_MS ? this.#ms - STEP_MS : 0;
    }
    return this.#ms;
  }
}

interface Watched {
  target: JitterTarget;
  before: Received;
}

/** Measures all received videos once a second and sets their jitter buffer targets. */
export class SmoothVideo {
  readonly #consumers: ReadonlyMap<string, types.Consumer>;
  readonly #watched = new WeakMap<types.Consumer, Watched>();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(consumers: ReadonlyMap<string, types.Consumer>) {
    this.#consumers = consumers;
    this.#timer = setInterval(() => {
      for (const consumer of this.#consumers.values()) {
        if (consumer.kind === 'video' && !consumer.paused) void this.#look(consumer);
      }
    }, INTERVAL_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(consumer: types.Consumer): Promise<void> {
    // Not all browsers support it.
    const receiver = consumer.rtpReceiver;
    if (!receiver || !('jitterBufferTarget' in receiver)) return;
    const now = await received(consumer);
    if (!now || consumer.closed) return;
    const watched = this.#watched.get(consumer);
    // Without a target the browser chooses the delay itself.
    if (watched) receiver.jitterBufferTarget = watched.target.next(since(watched.before, now)) || null;
    this.#watched.set(consumer, { target: watched?.target ?? new JitterTarget(), before: now });
  }
}

/** Counters of a video; undefined if the browser does not report them, or the consumer has just been closed. */
async function received(consumer: types.Consumer): Promise<Received | null> {
  const report = await consumer.getStats().catch(() => null);
  for (const stats of report?.values() ?? []) {
    if (stats.type !== 'inbound-rtp') continue;
    return {
      packets: stats.packetsReceived ?? 0,
      nacks: stats.nackCount ?? 0,
      pictures: stats.framesReceived ?? 0,
      late: stats.framesDropped ?? 0,
      freezes: stats.freezeCount ?? 0,
    };
  }
  return null;
}

function since(before: Received, now: Received): Received {
  return {
    packets: now.packets - before.packets,
    nacks: now.nacks - before.nacks,
    pictures: now.pictures - before.pictures,
    late: now.late - before.late,
    freezes: now.freezes - before.freezes,
  };
}
