/**
 * What participants tell each other beside what they write: a raised hand, a reaction. It goes over the data channel of
 * the chat as a binary message, which other clients leave unread: four zero bytes, then JSON.
 */

export const REACTIONS = ['👍', '👏', '❤️', '😂', '😮', '🎉'] as const;
export type Reaction = (typeof REACTIONS)[number];

export type Signal =
  /** For how many milliseconds a hand has been up; null when it goes down. Repeated while it is up. */
  | { type: 'hand'; upMs: number | null }
  | { type: 'reaction'; reaction: Reaction };

/** mediasoup-demo's web app takes binary messages for its test, which counts: zero never is ahead of it. */
const PREFIX_BYTES = 4;

/** Longer ones are not read. */
const MAX_BYTES = 256;

/** A hand has not been up for longer. */
const MAX_UP_MS = 24 * 3600_000;

export function encodeSignal(signal: Signal): Uint8Array<ArrayBuffer> {
  const text = signal.type === 'hand' ? { hand: signal.upMs } : { reaction: signal.reaction };
  const json = new TextEncoder().encode(JSON.stringify(text));
  const bytes = new Uint8Array(PREFIX_BYTES + json.length);
  bytes.set(json, PREFIX_BYTES);
  return bytes;
}

/** Null for what is none, or none that this app knows. */
export function decodeSignal(bytes: Uint8Array): Signal | null {
  if (bytes.length > MAX_BYTES || bytes.subarray(0, PREFIX_BYTES).some((byte) => byte !== 0)) return null;
  const told = parse(new TextDecoder().decode(bytes.subarray(PREFIX_BYTES)));
  if (typeof told !== 'object' || told === null) return null;
  if ('hand' in told) {
    const { hand } = told;
    if (hand === null) return { type: 'hand', upMs: null };
    if (typeof hand === 'number' && hand >= 0 && hand <= MAX_UP_MS) return { type: 'hand', upMs: hand };
  }
  if ('reaction' in told) {
    const reaction = REACTIONS.find((known) => known === told.reaction);
    if (reaction) return { type: 'reaction', reaction };
  }
  return null;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
