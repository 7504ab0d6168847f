/** Times at which a room is rejoined after its media or its connection was lost, and the limit of attempts. */

/** Pause before the second attempt. The first one follows at once. */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

/** Number of failed attempts in a row after which the app gives up, because a lasting block does not end by itself. */
export const MAX_ATTEMPTS = 6;

/** After this time of flowing media a loss does not count as a failed attempt. */
const GOOD_AFTER_MS = 10_000;

/**
 * Pauses with exponential backoff and random variation, so that clients do not all return at once after a restart of
 * the server.
 */
export class Rejoining {
  readonly #random: () => number;
  #failures = 0;
  #connectedAt: number | null = null;

  /** `random` returns a number from 0 to 1. */
  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Media is connected to the server. */
  connected(now: number): void {
    this.#connectedAt ??= now;
  }

  /**
   * Records a loss and returns the milliseconds until the next attempt, or null to give up. `oneNever` is true if the
   * cause is a transport that was never connected, whatever the state of the other one.
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
