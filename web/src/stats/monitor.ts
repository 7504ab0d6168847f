/** Measures the streams of a call once a second and stores the last minute. */

import type { types } from 'mediasoup-client';
import type { RoomClient } from '../room/client';
import { Store } from '../room/store';
import type { ReadableStore } from '../room/store';
import { figuresBetween, readReport } from './report';
import type { Snapshot, StreamFigures } from './report';

/** Number of stored measurements: one minute. */
export const HISTORY = 60;
const INTERVAL_MS = 1000;

export interface CallStats {
  /** Last measurements of each stream, oldest first, by consumer id or by source of a sent stream. */
  streams: ReadonlyMap<string, readonly StreamFigures[]>;
  /** Both directions: to the server, and from it. */
  up: readonly WayFigures[];
  down: readonly WayFigures[];
}

/** All streams of one direction. */
export interface WayFigures {
  /** Bits per second. */
  bitrate: number;
  /** Sender's estimate of the available bitrate in bits per second; null while unknown. */
  available: number | null;
  /** Milliseconds. */
  roundTrip: number | null;
}

/** Parts of a RoomClient that are measured. */
type Watched = Pick<
  RoomClient,
  'state' | 'consumers' | 'producers' | 'sendTransport' | 'recvTransport'
>;

export class StatsMonitor {
  readonly #room: Watched;
  readonly #store = new Store<CallStats>({ streams: new Map(), up: [], down: [] });
  readonly #timer: ReturnType<typeof setInterval>;
  /** Last snapshot of each transport. A new connection has new transports. */
  #before = new WeakMap<types.Transport, Snapshot>();
  #looking = false;

  constructor(room: Watched) {
    this.#room = room;
    this.#timer = setInterval(() => void this.#look(), INTERVAL_MS);
    void this.#look();
  }

  get state(): ReadableStore<CallStats> {
    return this.#store;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const { sendTransport, recvTransport, producers, consumers } = this.#room;
      const [sent, received] = await Promise.all([
        this.#figuresOf(sendTransport, producers),
        this.#figuresOf(recvTransport, consumers),
      ]);
      const { streams, up, down } = this.#store.get();
      const kept = new Map<string, readonly StreamFigures[]>();
      for (const [key, figures] of [...sent.streams, ...received.streams]) {
        kept.set(key, withLatest(streams.get(key), figures));
      }
      const downlink = this.#room.state.get().downlink?.availableBitrate ?? null;
      this.#store.set({
        streams: kept,
        up: withLatest(up, sent.way),
        down: withLatest(down, { ...received.way, available: downlink }),
      });
    } catch {
      // The transport was closed in the meantime.
    } finally {
      this.#looking = false;
    }
  }

  async #figuresOf(
    transport: types.Transport | null,
    streams: ReadonlyMap<string, types.Producer | types.Consumer>,
  ): Promise<{ streams: Map<string, StreamFigures>; way: WayFigures }> {
    const figures = new Map<string, StreamFigures>();
    if (!transport || transport.closed) {
      return { streams: figures, way: { bitrate: 0, available: null, roundTrip: null } };
    }
    const now = readReport(await transport.getStats());
    const before = this.#before.get(transport);
    this.#before.set(transport, now);
    for (const [key, { localId }] of streams) {
      const stream = before && figuresBetween(before, now, localId);
      if (stream) figures.set(key, stream);
    }
    const bitrate = [...figures.values()].reduce((sum, stream) => sum + stream.bitrate, 0);
    const { available, roundTrip } = now;
    return { streams: figures, way: { bitrate, available, roundTrip } };
  }
}

function withLatest<T>(history: readonly T[] | undefined, latest: T): readonly T[] {
  return [...(history ?? []), latest].slice(-HISTORY);
}
