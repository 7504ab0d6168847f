/** Somebody comes late into a running call. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launchChromium } from './lib/browsers.js';
import { Participant } from './lib/participant.js';
import { startServer } from './lib/server.js';

/** 300 ms is what users should see; the rest is for loaded test machines. */
const MAX_FIRST_FRAME_MS = 1000;

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

  it('sees a picture at once, for one key frame of each camera', async (t) => {
    const roomId = 'late';
    const alice = await Participant.join(chromium, server.url, { roomId, name: 'Alice', height: HEIGHT });
    const bob = await Participant.join(chromium, server.url, { roomId, name: 'Bob', height: HEIGHT });
    await Promise.all([alice.frameRateFrom('Bob', 3), bob.frameRateFrom('Alice', 3)]);
    const before = await Promise.all([keyFrameRequests(alice), keyFrameRequests(bob)]);

    const carol = await Participant.joinByLobby(chromium, server.url, { roomId, name: 'Carol', height: HEIGHT });
    const { fromJoin } = await carol.timeToFirstFrame();
    t.diagnostic(`first picture ${fromJoin} ms after the join`);
    const rates = await Promise.all([carol.frameRateFrom('Alice', 2), carol.frameRateFrom('Bob', 2)]);
    t.diagnostic(`then ${rates.map((rate) => rate.toFixed(1)).join(' and ')} fps`);

    const after = await Promise.all([keyFrameRequests(alice), keyFrameRequests(bob)]);
    const asked = after.map((count, index) => count - before[index]);
    t.diagnostic(`key frame requests: ${asked.join(' to Alice, ')} to Bob`);
    assert.deepEqual(asked, [1, 1], 'key frame requests to Alice and Bob');
    assert.ok(fromJoin <= MAX_FIRST_FRAME_MS, `the first picture took ${fromJoin} ms`);
    for (const participant of [alice, bob, carol]) participant.assertNoErrors();
  });
});

/** How often the server has asked a participant's camera for a key frame, by PLI or FIR. */
async function keyFrameRequests(participant) {
  const { camera } = await participant.ids();
  const [stats] = await participant.request('getProducerStats', { producerId: camera });
  return stats.pliCount + stats.firCount;
}
