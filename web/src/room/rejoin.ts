/** When a room is rejoined after its media or its connection was lost, and when that is given up. */

/** Without a cause to wait, what was lost is rejoined at once. */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

/** So many attempts in a row that came to nothing are enough: what blocks media will not go away by itself. */
export const MAX_ATTEMPTS = 6;

/** Media that has flowed for so long was no failure, whatever ends it. */
const GOOD_AFTER_MS = 10_000;

/** Pauses that double, with a part of chance, so that the clients of a server that comes back do not come all at once. */
export class Rejoining {
  readonly #random: () => number;
  #failures = 0;
  #connectedAt: number | null = null;

  /** `random` gives 0 to 1. */
  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Media has a way to the server. */
  connected(now: number): void {
    this.#connectedAt ??= now;
  }

  /**
   * All is over; the milliseconds until the next attempt, or null to give up. `oneNever`: one of the transports is the
   * reason, and was never connected, whatever the other one did.
   */
  lost(now: number, { oneNever = false } = {}): number | null {
    const flowed = this.#connectedAt !== null && now - this.#connectedAt >= GOOD_AFTER_MS;
    const good = flowed && !oneNever;
    this.#connectedAt = null;
    if (good) {
      this.#failures = 0;
      return 0;
    }
    this.#failures += 1;
    if (this.#failures >= MAX_ATTEMPTS) return null;
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** (this.#failures - 1), LONGEST_PAUSE_MS);
    return pause * (0.75 + 0.5 * this.#random());
  }
}
