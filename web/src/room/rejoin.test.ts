import { describe, expect, it } from 'vitest';
import { MAX_ATTEMPTS, Rejoining } from './rejoin';

describe('rejoining', () => {
  it('waits twice as long each time, and gives up', () => {
    const rejoining = new Rejoining(() => 0.5);
    const pauses = Array.from({ length: MAX_ATTEMPTS }, () => rejoining.lost(0));
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000, null]);
  });

  it('varies each pause by a quarter', () => {
    expect(new Rejoining(() => 0).lost(0)).toBe(750);
    expect(new Rejoining(() => 1).lost(0)).toBe(1250);
  });

  it('restarts at once after media has flowed', () => {
    const rejoining = new Rejoining(() => 0.5);
    rejoining.lost(0);
    rejoining.lost(0);
    rejoining.connected(5000);
    rejoining.connected(9000);
    expect(rejoining.lost(15_000)).toBe(0);
    expect(rejoining.lost(16_000)).toBe(1000);
  });

  it('counts a transport that was never connected as a failure, whatever the state of the other one', () => {
    const rejoining = new Rejoining(() => 0.5);
    rejoining.connected(0);
    expect(rejoining.lost(20_000, { oneNever: true })).toBe(1000);
  });

  it('counts media that broke off at once as a failure', () => {
    const rejoining = new Rejoining(() => 0.5);
    rejoining.connected(0);
    expect(rejoining.lost(100)).toBe(1000);
    expect(rejoining.lost(20_000)).toBe(2000);
  });
});
