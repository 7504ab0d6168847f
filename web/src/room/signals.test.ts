import { expect, it } from 'vitest';
import { REACTIONS, decodeSignal, encodeSignal } from './signals';
import type { Signal } from './signals';

it('come as they went', () => {
  const signals: Signal[] = [
    { type: 'hand', upMs: 1500 },
    { type: 'hand', upMs: null },
    ...REACTIONS.map((reaction) => ({ type: 'reaction', reaction }) as const),
  ];
  for (const signal of signals) expect(decodeSignal(encodeSignal(signal))).toEqual(signal);
});

it('begin with the number zero, which the test of mediasoup-demo takes for nothing new', () => {
  const bytes = encodeSignal({ type: 'hand', upMs: 0 });
  expect(new DataView(bytes.buffer).getUint32(0)).toBe(0);
});

it('are not made of anything else', () => {
  const told = (text: string) => decodeSignal(new TextEncoder().encode(`\0\0\0\0${text}`));
  const others = ['', '{', 'null', '7', '{}', '{"hand":"up"}', '{"hand":-1}', '{"hand":1e99}', '{"reaction":"<b>"}'];
  for (const text of others) expect(told(text), text).toBeNull();
  expect(told(`{"hand":1,"more":"${'x'.repeat(300)}"}`)).toBeNull();
  expect(decodeSignal(new TextEncoder().encode('{"hand":1}'))).toBeNull();
  expect(decodeSignal(new Uint8Array())).toBeNull();
});
