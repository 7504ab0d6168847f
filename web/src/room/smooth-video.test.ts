import { describe, expect, it } from 'vitest';
import { JitterTarget } from './smooth-video';
import type { Received } from './smooth-video';

const GOOD: Received = { packets: 100, nacks: 0, pictures: 30, late: 0, freezes: 0 };
const LOSSY: Received = { ...GOOD, nacks: 5, late: 6 };

function after(...looks: Received[]): number {
  const target = new JitterTarget();
  let ms = 0;
  for (const look of looks) ms = target.next(look);
  return ms;
}

describe('the jitter buffer target', () => {
  it('is not set on a good line, nor if retransmissions arrive in time', () => {
    expect(after(GOOD, GOOD)).toBe(0);
    expect(after({ ...GOOD, nacks: 5 })).toBe(0);
  });

  it('is not set for late frames without loss, because the computer is slow', () => {
    expect(after({ ...GOOD, late: 20, freezes: 1 })).toBe(0);
  });

  it('grows up to a maximum while retransmissions are late', () => {
    expect(after(LOSSY)).toBe(100);
    expect(after({ ...LOSSY, late: 0, freezes: 1 })).toBe(100);
    expect(after(LOSSY, LOSSY)).toBe(150);
    expect(after(LOSSY, { ...LOSSY, late: 0 })).toBe(100);
    expect(after(...Array(20).fill(LOSSY))).toBe(250);
  });

  it('is reduced after a while without loss', () => {
    const calm = (looks: number) => Array<Received>(looks).fill(GOOD);
    expect(after(LOSSY, LOSSY, ...calm(9))).toBe(150);
    expect(after(LOSSY, LOSSY, ...calm(10))).toBe(100);
    expect(after(LOSSY, LOSSY, ...calm(20))).toBe(0);
    expect(after(LOSSY, ...calm(9), { ...GOOD, nacks: 1 }, ...calm(9))).toBe(100);
  });
});
