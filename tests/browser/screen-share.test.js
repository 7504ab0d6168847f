/** A screen is shared: the others see all of it, and can read it. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launchChromium } from './lib/browsers.js';
import { Participant } from './lib/participant.js';
import { startServer } from './lib/server.js';
import { until } from './lib/until.js';

const TITLE = 'Tureen test page';
const SIZE = { width: 1280, height: 720 };

/** A page of small text between four marks in the corners. */
const PAGE = `<!doctype html><title>${TITLE}</title>
<style>
  body { margin: 0; background: #fff; font: 14px/20px monospace; }
  p { margin: 30px 40px; }
  i { position: fixed; width: 24px; height: 24px; background: #f0f; }
</style>
<i style="top: 0; left: 0"></i><i style="top: 0; right: 0"></i>
<i style="bottom: 0; left: 0"></i><i style="bottom: 0; right: 0"></i>
<p>${'The quick brown fox jumps over the lazy dog; 0123456789 {[(<=>)]} '.repeat(45)}</p>`;

describe('a shared screen', () => {
  let server;
  let chromium;

  before(async () => {
    server = await startServer();
    chromium = await launchChromium({ sharedTab: TITLE });
  });

  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  it('is seen whole and can be read, until it is stopped', async (t) => {
    const roomId = 'share';
    const page = await chromium.newPage({ viewport: SIZE });
    await page.setContent(PAGE);
    const alice = await Participant.join(chromium, server.url, { roomId, name: 'Alice', height: '180' });
    await alice.ids();
    const bob = await Participant.join(chromium, server.url, { roomId, name: 'Bob', height: '180' });
    await bob.frameRateFrom('Alice', 1);

    await alice.share();
    await alice.ids(['screen']);
    const shown = await bob.seesScreenOf('Alice');
    t.diagnostic(`${shown.width}×${shown.height} in a tile of ${shown.box.width}×${shown.box.height}, ${shown.fit}`);
    assert.equal(shown.fit, 'contain');
    assert.ok(shown.box.width > 0.6 * SIZE.width, 'it fills the stage');

    const original = (await page.screenshot()).toString('base64');
    const seen = [];
    const isSharp = async () => {
      seen.push(await bob.differenceOfScreen('Alice', original));
      return seen.at(-1).mean < seen.at(-1).halved / 2 && seen.at(-1);
    };
    const explain = () => `mean differences of 255: ${seen.map(({ mean }) => mean.toFixed(1))}`;
    const difference = await until('the text is sharp', isSharp, { explain });
    t.diagnostic(`mean difference ${difference.mean.toFixed(2)} of 255; with half the lines ${difference.halved.toFixed(2)}`);
    assert.deepEqual(difference.corners, [true, true, true, true]);
    const { freezes } = await bob.receivedFrom('Alice', 'video');
    t.diagnostic(`her camera stood still ${freezes} times meanwhile`);

    await alice.stopSharing();
    await bob.seesNoScreen();
    await alice.ids(['mic', 'camera']);
    alice.assertNoErrors();
    bob.assertNoErrors();
    await Promise.all([alice.close(), bob.close(), page.close()]);
  });

  it('ends with the tab that is shared', async () => {
    const roomId = 'share-closed';
    const page = await chromium.newPage({ viewport: SIZE });
    await page.setContent(PAGE);
    const alice = await Participant.join(chromium, server.url, { roomId, name: 'Alice', height: '180' });
    await alice.ids();
    const bob = await Participant.join(chromium, server.url, { roomId, name: 'Bob', height: '180' });
    await alice.share();
    await bob.seesScreenOf('Alice');
    await page.close();
    await bob.seesNoScreen();
    await alice.offersToShare();
    await Promise.all([alice.close(), bob.close()]);
  });

  it('of another client is known by what mediasoup-demo says of it', async () => {
    const roomId = 'share-demo';
    const alice = await Participant.join(chromium, server.url, { roomId, name: 'Alice', height: '180' });
    await alice.ids();
    const bob = await Participant.join(chromium, server.url, { roomId, name: 'Bob', height: '180' });
    for (const appData of [{ source: 'screensharing' }, { share: true }]) {
      await alice.produceVideo(appData);
      const { fit } = await bob.seesScreenOf('Alice');
      assert.equal(fit, 'contain');
      await alice.closeVideo();
      await bob.seesNoScreen();
    }
    await Promise.all([alice.close(), bob.close()]);
  });
});
