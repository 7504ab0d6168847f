/** A camera that was off for a long time, while its audio was sent: its video returns at once. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { untilGood } from './lib/attempts.js';
import { launchChromium } from './lib/browsers.js';
import { Participant } from './lib/participant.js';
import { startServer } from './lib/server.js';
import { until } from './lib/until.js';

/** Chromium's audio has no transport-wide sequence numbers, so that there is no feedback while the camera is off. */
const OFF_MS = 20_000;

const MAX_BACK_MS = 2000;

/** Time in which viewers without transport-wide feedback once lost all video, because their estimate fell. */
const REMB_MS = 24_000;

describe('a camera that was off', () => {
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

  it('is seen at once when it is on again, and so is one that a viewer had paused', async (t) => {
    const roomId = 'camera-off';
    const alice = await Participant.join(chromium, server.url, { roomId, name: 'Alice', height: '360', layers: '3' });
    const bob = await Participant.join(chromium, server.url, { roomId, name: 'Bob', height: '180' });
    await Promise.all([alice.ids(), bob.hears('Alice'), bob.frameRateFrom('Alice', 5)]);
    const producerId = (await alice.ids()).camera;
    const { consumerId } = await bob.video('Alice');
    const ways = {
      camera: (what) => alice.request(`${what}Producer`, { producerId }),
      consumer: (what) => bob.request(`${what}Consumer`, { consumerId }),
    };
    for (const [name, request] of Object.entries(ways)) {
      const measure = async () => {
        await request('pause');
        await new Promise((resolve) => setTimeout(resolve, OFF_MS));
        const { framesDecoded } = await bob.receivedFrom('Alice', 'video');
        const resumed = performance.now();
        await request('resume');
        await until(`Bob sees Alice again after her ${name} was paused`, async () =>
          (await bob.receivedFrom('Alice', 'video')).framesDecoded > framesDecoded);
        const backMs = Math.round(performance.now() - resumed);
        const rate = await bob.frameRateFrom('Alice', 2);
        t.diagnostic(`after the ${name} was paused: a picture in ${backMs} ms, then ${rate.toFixed(1)} fps`);
        return { backMs, rate };
      };
      await untilGood(`${name} on`, measure, ({ backMs, rate }) => backMs <= MAX_BACK_MS && rate > 3);
    }
    bob.assertNoErrors();
  });

  it('a viewer that supports REMB only keeps its video', async (t) => {
    const roomId = 'remb-only';
    const alice = await Participant.join(chromium, server.url, { roomId, name: 'Alice', height: '360', layers: '3' });
    const bob = await Participant.joinWithRembOnly(chromium, server.url, { roomId, name: 'Bob', height: '180' });
    await bob.frameRateFrom('Alice', 5);
    const before = await bob.receivedFrom('Alice', 'video');
    assert.ok(!(await bob.headerExtensions(before.consumerId)).some((uri) => uri.includes('transport-wide')));
    await new Promise((resolve) => setTimeout(resolve, REMB_MS));
    const rate = await bob.frameRateFrom('Alice', 2);
    const { height } = await bob.receivedFrom('Alice', 'video');
    t.diagnostic(`${before.height} lines at first, ${height} after ${REMB_MS} ms, ${rate.toFixed(1)} fps`);
    assert.ok(height >= before.height, `${height} lines after ${before.height}`);
    assert.ok(rate > 3, `${rate} pictures a second`);
    await Promise.all([alice, bob].map((participant) => participant.close()));
    bob.assertNoErrors();
  });
});
