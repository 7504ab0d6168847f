/**
 * Lets videos wait a little where packets get lost on a long way, so that those that are sent again come in time.
 *
 * Browsers show a picture as soon as they can. Two that send to each other know the round trip, and wait for it where
 * packets get lost; one that only receives, as from a server, does not know it: pictures that are repaired come too late
 * and are left out, a quarter of them at 5 % loss and 50 ms each way, or everything stands still for a moment.
 */

import type { types } from 'mediasoup-client';

/** Between looks. */
const INTERVAL_MS = 1000;

/** What pictures are made to wait at first, by how much more where that does not do, and at most. */
const FIRST_MS = 100;
const STEP_MS = 50;
const MOST_MS = 250;

/** Packets asked for again, of those that came, from which on a line counts as one that loses packets. */
const LOSSY = 0.01;

/** Pictures that came too late, of all, from which on waiting is worth it. */
const LATE = 0.05;

/** So many looks without anything lost, and pictures wait less again. */
const CALM_LOOKS = 10;

/** What came since the look before. */
export interface Received {
  packets: number;
  /** Packets asked for again. */
  nacks: number;
  pictures: number;
  /** Pictures that came, but too late to be shown. */
  late: number;
  freezes: number;
}

/** How long the pictures of one video wait. */
export class Patience {
  #ms = 0;
  #calm = 0;

  /** Milliseconds from now on. */
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
  patience: Patience;
  before: Received;
}

/** Looks at all videos that are received, once a second. */
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
    // Not everywhere.
    const receiver = consumer.rtpReceiver;
    if (!receiver || !('jitterBufferTarget' in receiver)) return;
    const now = await received(consumer);
    if (!now || consumer.closed) return;
    const watched = this.#watched.get(consumer);
    // Without anything to wait for the browser does as it thinks best.
    if (watched) receiver.jitterBufferTarget = watched.patience.next(since(watched.before, now)) || null;
    this.#watched.set(consumer, { patience: watched?.patience ?? new Patience(), before: now });
  }
}

/** What a video has received so far; nothing where the browser does not tell, or the consumer has just been closed. */
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
