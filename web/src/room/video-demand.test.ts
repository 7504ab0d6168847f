import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { VideoDemand, layersOf, preferredLayers } from './video-demand';

describe('the preferred layer', () => {
  const layer = (sourceLines: number, shown: number, spatial = 3) =>
    preferredLayers({ spatial, temporal: 3 }, sourceLines, shown).spatialLayer;

  it('is the smallest that is about as large as what is shown', () => {
    expect([1080, 720, 480, 361, 240, 100].map((shown) => layer(720, shown))).toEqual([2, 2, 1, 1, 0, 0]);
  });

  it('follows the size of what is sent', () => {
    expect([360, 180, 90].map((shown) => layer(360, shown))).toEqual([2, 1, 0]);
    expect(layer(720, 10, 1)).toBe(0);
  });
});

it('reads the number of layers from the scalability mode', () => {
  expect([undefined, 'L1T3', 'L3T3_KEY', 'S2T1', 'x'].map(layersOf)).toEqual([
    { spatial: 1, temporal: 1 }, { spatial: 1, temporal: 3 }, { spatial: 3, temporal: 3 },
    { spatial: 2, temporal: 1 }, { spatial: 1, temporal: 1 },
  ]);
});

describe('the server', () => {
  let asked: string[];
  let demand: VideoDemand;

  beforeEach(() => {
    vi.useFakeTimers();
    asked = [];
    demand = new VideoDemand(async (method, data) => {
      const value = 'spatialLayer' in data ? data.spatialLayer : 'priority' in data ? data.priority : '';
      asked.push(`${method} ${value}`.trim());
    });
  });
  afterEach(() => void vi.useRealTimers());

  it('is asked for another layer only when it changes', async () => {
    demand.add('c', 'L3T3', 720);
    for (const lines of [700, 710, 180, 170]) demand.show('c', lines);
    await vi.runAllTimersAsync();
    demand.show('c', 150);
    await vi.runAllTimersAsync();
    expect(asked).toEqual(['setConsumerPreferredLayers 0']);
  });

  it('does not send what has no tile, once tiles are on the screen', async () => {
    demand.add('early', 'L3T3', 720);
    await vi.runAllTimersAsync();
    expect(asked).toEqual([]);
    demand.begin();
    demand.add('late', 'L3T3', 720);
    demand.add('seen', 'L3T3', 720);
    demand.show('seen', 700);
    await vi.runAllTimersAsync();
    expect(asked).toEqual(['pauseConsumer', 'pauseConsumer']);
    demand.show('late', 700);
    await vi.runAllTimersAsync();
    expect(asked.slice(2)).toEqual(['resumeConsumer']);
  });

  it('sends all of a shared screen from the start', () => {
    demand.expect(100);
    expect(demand.add('screen', 'L2T3', 1080, true)).toEqual({ spatialLayer: 1, temporalLayer: 2 });
    expect(demand.add('camera', 'L2T3', 1080)).toEqual({ spatialLayer: 0, temporalLayer: 2 });
  });

  it('knows the first layers before the first picture', async () => {
    demand.expect(350);
    const answers = ['L3T3', 'L1T3', undefined].map((mode, index) => demand.add(`${index}`, mode, 720));
    expect(answers).toEqual([{ spatialLayer: 1, temporalLayer: 2 }, undefined, undefined]);
    demand.show('0', 360);
    await vi.runAllTimersAsync();
    expect(asked).toEqual([]);
  });

  it('is asked for a larger layer at once, for a smaller one when the video stays small', async () => {
    demand.add('c', 'L3T3', 720);
    demand.show('c', 350);
    await vi.advanceTimersByTimeAsync(1900);
    demand.show('c', 700);
    await vi.advanceTimersByTimeAsync(1900);
    demand.show('c', 340);
    await vi.advanceTimersByTimeAsync(1900);
    expect(asked).toEqual([]);
    await vi.advanceTimersByTimeAsync(200);
    expect(asked).toEqual(['setConsumerPreferredLayers 1']);
    demand.show('c', 700);
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toEqual(['setConsumerPreferredLayers 1', 'setConsumerPreferredLayers 2']);
  });

  it('is asked for the layer that fits before what was out of sight comes back', async () => {
    demand.add('c', 'L3T3', 720);
    demand.show('c', null);
    await vi.runAllTimersAsync();
    demand.show('c', 350);
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toEqual(['pauseConsumer', 'setConsumerPreferredLayers 1', 'resumeConsumer']);
  });

  it('pauses what stays out of sight, and resumes it at once', async () => {
    demand.add('c', 'L1T3', undefined);
    demand.show('c', 300);
    demand.show('c', null);
    await vi.advanceTimersByTimeAsync(1000);
    demand.show('c', 300);
    await vi.runAllTimersAsync();
    expect(asked).toEqual([]);
    demand.show('c', null);
    await vi.runAllTimersAsync();
    expect(asked).toEqual(['pauseConsumer']);
    demand.show('c', 300);
    await vi.advanceTimersByTimeAsync(0);
    expect(asked).toEqual(['pauseConsumer', 'resumeConsumer']);
  });

  it('is told which videos are larger than others', async () => {
    for (const id of ['a', 'b', 'c']) {
      demand.add(id, 'L1T1', 720);
      demand.show(id, 300);
    }
    await vi.runAllTimersAsync();
    expect(asked).toEqual([]);
    for (const [id, lines] of [['a', 800], ['b', 100], ['c', 100]] as const) demand.show(id, lines);
    await vi.runAllTimersAsync();
    expect(asked).toEqual(['setConsumerPriority 2']);
    demand.show('a', 110);
    await vi.runAllTimersAsync();
    expect(asked).toEqual(['setConsumerPriority 2', 'setConsumerPriority 1']);
  });

  it('is not asked about what is gone', async () => {
    demand.add('c', 'L3T3', 720);
    demand.show('c', null);
    demand.remove('c');
    demand.show('c', 100);
    await vi.runAllTimersAsync();
    expect(asked).toEqual([]);
  });
});
