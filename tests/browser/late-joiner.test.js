/** Somebody comes late into a running call. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launchChromium } from './lib/browsers.js';
import { Participant } from './lib/participant.js';
import { startServer } from './lib/server.js';

const RUNS = 5;

/**
 * From the click on Join to the first picture on the screen, as the median of all runs. 300 ms is the aim; the bound is
 * far above it, because on two cores the browsers' own encoders, not the server, decide on which side of it a run falls.
 */
const MAX_MEDIAN_MS = 1000;

/**
 * A single run may meet the key frames of the other two encoders, a garbage collection, or a neighbour on the
 * machine.
 */
const MAX_MS = 2000;

/** Small pictures: three browsers encode and decode in software here, on the cores that the server has too. */
const HEIGHT = '360';

describe('a third tab', () => {
  let server;
  let chromium;

  before(async () => {
    server = await startServer();
    chromium = await launchChromium();
  });

  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  it('sees a picture at once, for few key frames', async (t) => {
    const roomId = 'late';
    const join = (name) => Participant.join(chromium, server.url, { roomId, name, height: HEIGHT });
    const [alice, bob] = [await join('Alice'), await join('Bob')];
    await Promise.all([alice.frameRateFrom('Bob', 3), bob.frameRateFrom('Alice', 3)]);

    const times = [];
    for (let run = 0; run < RUNS; run += 1) {
      const before = await Promise.all([keyFrameRequests(alice), keyFrameRequests(bob)]);
      const options = { roomId, name: 'Carol', height: HEIGHT };
      const carol = await Participant.joinByLobby(chromium, server.url, options);
      times.push(await carol.timeToFirstFrame());
      const rates = await Promise.all([carol.frameRateFrom('Alice', 1), carol.frameRateFrom('Bob', 1)]);
      t.diagnostic(`then ${rates.map((rate) => rate.toFixed(1)).join(' and ')} fps`);

      const after = await Promise.all([keyFrameRequests(alice), keyFrameRequests(bob)]);
      const asked = after.map((count, index) => count - before[index]);
      // A camera of this height has two layers, and has two viewers, for whom its tile changes size: at most one request
      // for each of these.
      assert.ok(asked.every((count) => count >= 1 && count <= 4), `key frame requests to Alice and Bob: ${asked}`);
      carol.assertNoErrors();
      await carol.close();
    }
    for (const participant of [alice, bob]) participant.assertNoErrors();

    const fromClick = times.map((time) => time.fromClick);
    t.diagnostic(`first picture after the click: ${fromClick.join(', ')} ms, median ${median(fromClick)} ms`);
    const fromJoin = times.map((time) => time.fromJoin);
    t.diagnostic(`after the join request: ${fromJoin.join(', ')} ms, median ${median(fromJoin)} ms`);
    assert.ok(median(fromClick) <= MAX_MEDIAN_MS, `the first picture took ${median(fromClick)} ms`);
    assert.ok(Math.max(...fromClick) <= MAX_MS, `one first picture took ${Math.max(...fromClick)} ms`);
  });
});

/** How often the server has asked a participant's camera for a key frame, by PLI or FIR. */
async function keyFrameRequests(participant) {
  const { camera } = await participant.ids();
  const streams = await participant.request('getProducerStats', { producerId: camera });
  return streams.reduce((sum, stats) => sum + stats.pliCount + stats.firCount, 0);
}

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
}
