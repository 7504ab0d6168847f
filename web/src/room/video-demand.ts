/**
 * Asks the server for no more of each video than is looked at: the layers that fit its size on the
 * screen, and nothing at all while it is out of sight. Where bandwidth is short, large ones go first.
 *
 * Another layer takes a key frame of the sender, which costs everybody in the room. So the first
 * layers are chosen before the first picture, and less is asked for only when it stays that way:
 * when somebody joins, all tiles shrink, and the key frames that the joiner needs go first.
 */

import type { PreferredLayers, RequestData } from '../signaling/protocol';

export interface LayerCount {
  spatial: number;
  temporal: number;
}

/** Lines of the picture on the screen, in device pixels. */
export type Lines = number;

type Methods =
  | 'pauseConsumer'
  | 'resumeConsumer'
  | 'setConsumerPreferredLayers'
  | 'setConsumerPriority';
type Ask = <M extends Methods>(method: M, data: RequestData<M>) => Promise<unknown>;

/** How long a video must be out of sight before it is paused, or small before a smaller layer is asked for. */
const LESS_AFTER_MS = 2000;

/** A layer may have this much fewer lines than are shown: nobody sees the difference. */
const TOLERANCE = 0.75;

/** What a video weighs when bandwidth is shared out, and one that is larger than others. */
const PRIORITY = { usual: 1, large: 2 };

/** What is taken for the height of a picture whose sender does not tell. */
const USUAL_HEIGHT = 720;

interface Demand {
  layers: LayerCount;
  sourceLines: Lines;
  /** Null out of sight. */
  shown: Lines | null;
  /** Whether it has been shown like this for `LESS_AFTER_MS`. */
  settled: boolean;
  settling: ReturnType<typeof setTimeout> | undefined;
  /** What the server has been told. */
  told: { paused: boolean; spatialLayer: number; priority: number };
  telling: boolean;
}

export class VideoDemand {
  readonly #ask: Ask;
  readonly #demands = new Map<string, Demand>();
  #expected: Lines = Infinity;
  /** See `begin`. */
  #begun = false;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  /** See `RoomClient.expectVideo`. */
  expect(lines: Lines): void {
    this.#expected = lines;
  }

  /** Tiles are on the screen now: from here on a video that none of them shows is paused, too. */
  begin(): void {
    this.#begun = true;
    for (const [id, demand] of this.#demands) if (demand.settling === undefined) this.#settle(id, demand);
  }

  /**
   * A video has come. Gives the layers that the server is to send from the start, if it has any; of a shared screen
   * that is everything.
   */
  add(
    consumerId: string,
    scalabilityMode: string | undefined,
    sourceHeight: unknown,
    share = false,
  ): PreferredLayers | undefined {
    const layers = layersOf(scalabilityMode);
    const sourceLines = typeof sourceHeight === 'number' && sourceHeight > 0 ? sourceHeight : USUAL_HEIGHT;
    const preferred = preferredLayers(layers, sourceLines, share ? Infinity : this.#expected);
    const demand: Demand = {
      layers,
      sourceLines,
      shown: null,
      settled: false,
      settling: undefined,
      told: { paused: false, spatialLayer: preferred.spatialLayer, priority: PRIORITY.usual },
      telling: false,
    };
    this.#demands.set(consumerId, demand);
    if (this.#begun) this.#settle(consumerId, demand);
    return layers.spatial > 1 ? preferred : undefined;
  }

  remove(consumerId: string): void {
    clearTimeout(this.#demands.get(consumerId)?.settling);
    this.#demands.delete(consumerId);
  }

  /** The video is shown with so many lines now, or is out of sight. */
  show(consumerId: string, lines: Lines | null): void {
    const demand = this.#demands.get(consumerId);
    if (!demand) return;
    demand.shown = lines;
    this.#settle(consumerId, demand);
    // The size of one decides on the priority of all.
    for (const [id, other] of this.#demands) if (other.shown !== null) void this.#tell(id, other);
  }

  close(): void {
    for (const id of [...this.#demands.keys()]) this.remove(id);
  }

  #settle(consumerId: string, demand: Demand): void {
    demand.settled = false;
    clearTimeout(demand.settling);
    demand.settling = setTimeout(() => {
      demand.settled = true;
      void this.#tell(consumerId, demand);
    }, LESS_AFTER_MS);
  }

  /** A video is large when it is about as large as the largest, and another one is smaller. */
  #priorityOf(shown: Lines): number {
    const all = [...this.#demands.values()].flatMap((demand) => demand.shown ?? []);
    const limit = Math.max(...all) * TOLERANCE;
    return shown >= limit && Math.min(...all) < limit ? PRIORITY.large : PRIORITY.usual;
  }

  /** Brings the server up to date, one request after the other. */
  async #tell(consumerId: string, demand: Demand): Promise<void> {
    if (demand.telling) return;
    demand.telling = true;
    try {
      while (this.#demands.get(consumerId) === demand) {
        const { shown, settled, told } = demand;
        if (shown === null) {
          if (told.paused || !settled) return;
          told.paused = true;
          await this.#ask('pauseConsumer', { consumerId });
          continue;
        }
        const priority = this.#priorityOf(shown);
        const preferred = preferredLayers(demand.layers, demand.sourceLines, shown);
        const more = preferred.spatialLayer - told.spatialLayer;
        // A paused one takes a key frame anyway.
        if (more > 0 || (more < 0 && (settled || told.paused))) {
          told.spatialLayer = preferred.spatialLayer;
          await this.#ask('setConsumerPreferredLayers', { consumerId, ...preferred });
        } else if (told.priority !== priority) {
          told.priority = priority;
          await this.#ask('setConsumerPriority', { consumerId, priority });
        } else if (told.paused) {
          told.paused = false;
          await this.#ask('resumeConsumer', { consumerId });
        } else {
          return;
        }
      }
    } catch (error) {
      // The consumer or the connection is gone, and what was asked for with it.
      console.debug('asking for a video failed', error);
    } finally {
      demand.telling = false;
    }
  }
}

/** The smallest layer that is large enough on the screen. Each has half the lines of the next. */
export function preferredLayers(
  layers: LayerCount,
  sourceLines: Lines,
  shown: Lines,
): PreferredLayers {
  let spatialLayer = layers.spatial - 1;
  let lines = sourceLines;
  while (spatialLayer > 0 && lines / 2 >= shown * TOLERANCE) {
    spatialLayer -= 1;
    lines /= 2;
  }
  return { spatialLayer, temporalLayer: layers.temporal - 1 };
}

/** `L3T3_KEY` is three by three; one by one where there is no mode. */
export function layersOf(scalabilityMode: string | undefined): LayerCount {
  const [, spatial = '1', temporal = '1'] = /^[LS](\d+)T(\d+)/.exec(scalabilityMode ?? '') ?? [];
  return { spatial: Number(spatial), temporal: Number(temporal) };
}
