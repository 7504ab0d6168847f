/**
 * Calls by mediasoup's Node library on `tureen-worker`: video returns at once after the camera was off, and a viewer on
 * a good line starts with the largest layer.
 */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { untilGood } from './lib/attempts.js';
import { launchChromium } from './lib/browsers.js';
import { bundleClient, servePage } from './lib/example.js';
import { openNodePage, startNodeLibrary } from './lib/node-library.js';
import { until } from './lib/until.js';

const OFF_MS = Number(process.env.CAMERA_OFF_MS ?? 20_000);
const MAX_BACK_MS = 1000;
/** Limit for a new camera, which the browser has to open first. The time is measured from the viewer's request. */
const MAX_NEW_MS = 1000;

/** Time in which the largest layer must follow the first frame, and the number of attempts. */
const MAX_LARGEST_MS = 100;
const VIEWERS = Number(process.env.VIEWERS ?? 3);
const LINES = 540;

/** Time in which viewers without transport-wide feedback once lost all video, because their estimate fell. */
const REMB_MS = 24_000;

describe("by mediasoup's Node library", () => {
  let site;
  let chromium;
  let library;

  before(async () => {
    site = await servePage(await bundleClient('node-client.js'));
    chromium = await launchChromium();
    library = await startNodeLibrary();
  });

  after(async () => {
    await chromium?.close();
    site?.stop();
    await library?.stop();
  });

  const open = () => openNodePage(chromium, site.url, library);

  /** Waits until the largest layer of a consumer is shown. */
  const seesAll = (page, consumer) =>
    until('the largest picture', async () => (await page.call('pictures', consumer)).at(-1)?.lines === LINES);

  it('a camera that was off is seen at once when it is on again', { timeout: 300_000 }, async (t) => {
    const [alice, bob] = [await open(), await open()];
    const audio = await bob.call('watch', await alice.call('speak'));
    let producer = await alice.call('show');
    let consumer = await bob.call('watch', producer);
    const ways = {
      'was paused': {
        limit: MAX_BACK_MS,
        async off() {
          await alice.call('producer', producer, 'pause');
          await library.request('pauseProducer', { id: producer });
        },
        async on() {
          await alice.call('producer', producer, 'resume');
          await library.request('resumeProducer', { id: producer });
        },
      },
      'had its consumer paused': {
        limit: MAX_BACK_MS,
        off: () => library.request('pauseConsumer', { id: consumer }),
        on: () => library.request('resumeConsumer', { id: consumer }),
      },
      'was closed and is another one': {
        limit: MAX_NEW_MS,
        async off() {
          await alice.call('producer', producer, 'close');
          await library.request('closeProducer', { id: producer });
          await bob.call('forget', consumer);
        },
        async on() {
          producer = await alice.call('show');
          const asked = await bob.call('now');
          consumer = await bob.call('watch', producer);
          return asked;
        },
      },
    };
    for (const [name, { limit, off, on }] of Object.entries(ways)) {
      const measure = async () => {
        await seesAll(bob, consumer);
        const before = await bob.call('sounds', audio);
        await off();
        await new Promise((resolve) => setTimeout(resolve, OFF_MS));
        const after = await bob.call('sounds', audio);
        const estimate = await library.request('estimate', { transportId: await bob.call('receivingId') });
        const now = await bob.call('now');
        const since = (await on()) ?? now;
        const [first] = await until('a picture', async () => {
          const pictures = await bob.call('pictures', consumer, since);
          return pictures.length > 0 && pictures;
        });
        const largest = await until('the largest picture', async () =>
          (await bob.call('pictures', consumer, since)).find(({ lines }) => lines === LINES));
        const heard = after.packets - before.packets;
        t.diagnostic(
          `a camera that ${name}: ${first.lines} lines after ${first.ms} ms, ${LINES} after ${largest.ms} ms; ` +
            `meanwhile ${heard} packets of audio and an estimate of ${Math.round(estimate / 1000)} kbit/s`,
        );
        return { firstMs: first.ms, largestMs: largest.ms, heard, louder: after.energy > before.energy };
      };
      const isGood = ({ firstMs, heard, louder }) => firstMs <= limit && heard > OFF_MS / 40 && louder;
      await untilGood(`a camera that ${name}`, measure, isGood);
    }
    await Promise.all([alice, bob].map((page) => page.close()));
  });

  it('a viewer that supports REMB only keeps the largest layer', { timeout: 120_000 }, async (t) => {
    const [alice, bob] = [await open(), await open()];
    const consumer = await bob.call('watch', await alice.call('show'), { rembOnly: true });
    await seesAll(bob, consumer);
    const since = await bob.call('now');
    await new Promise((resolve) => setTimeout(resolve, REMB_MS));
    const pictures = await bob.call('pictures', consumer, since);
    const estimate = await library.request('estimate', { transportId: await bob.call('receivingId') });
    t.diagnostic(`${pictures.length} pictures in ${REMB_MS} ms, an estimate of ${Math.round(estimate / 1000)} kbit/s`);
    assert.ok(pictures.length > REMB_MS / 100, `only ${pictures.length} pictures`);
    assert.equal(pictures.at(-1).lines, LINES);
    await Promise.all([alice, bob].map((page) => page.close()));
  });

  it('a single viewer on a good line starts with the largest layer', { timeout: 180_000 }, async (t) => {
    const alice = await open();
    const producer = await alice.call('show');
    // Encoders do not start all layers at once, so that the first viewer waits for them.
    const first = await open();
    await seesAll(first, await first.call('watch', producer));
    const late = [];
    for (let count = 0; count < VIEWERS; count += 1) {
      const viewer = await open();
      const consumer = await viewer.call('watch', producer);
      await seesAll(viewer, consumer);
      const pictures = await viewer.call('pictures', consumer);
      const largest = pictures.find(({ lines }) => lines === LINES);
      late.push(largest.ms - pictures[0].ms);
      t.diagnostic(`${pictures[0].lines} lines after ${pictures[0].ms} ms, ${LINES} after ${largest.ms} ms`);
      await viewer.close();
    }
    late.sort((a, b) => a - b);
    assert.ok(late[late.length >> 1] <= MAX_LARGEST_MS, `the largest picture came ${late} ms after the first one`);
    await Promise.all([alice, first].map((page) => page.close()));
  });
});
