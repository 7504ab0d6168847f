/** What is seen of a call with many tiles: pages, and a tile that is pinned. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launchChromium } from './lib/browsers.js';
import { Participant } from './lib/participant.js';
import { startServer } from './lib/server.js';
import { until } from './lib/until.js';

describe('the stage', () => {
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

  it('has pages, and what is on another page is not sent', async (t) => {
    const [alice, bob] = await join('pages');
    for (let count = 0; count < 5; count++) await alice.produceVideo({ source: 'video' });
    // Two by two tiles fit.
    await bob.resize(350, 420);
    const shown = async () => (await bob.shownVideos()).filter(({ peer }) => peer === 'Alice');
    await until('Bob sees a page of four', async () => (await shown()).length === 4);
    const isReceived = async () => {
      const [first, second] = [await bob.received(), await later(() => bob.received())];
      const decoded = (rows, id) => rows.find((row) => row.consumerId === id)?.framesDecoded ?? 0;
      const seen = (await shown()).map(({ consumerId }) => consumerId);
      const videos = second.filter(({ kind }) => kind === 'video').map(({ consumerId }) => consumerId);
      const flowing = videos.filter((id) => decoded(second, id) > decoded(first, id));
      const same = flowing.length === seen.length && flowing.every((id) => seen.includes(id));
      t.diagnostic(`${seen.length} of ${videos.length} videos are seen, ${flowing.length} received`);
      return videos.length === 6 && same;
    };
    await until('only the first page is received', isReceived);
    await bob.turnsPage('Next page');
    await until('Bob sees the other two', async () => (await shown()).length === 2);
    await until('only the second page is received', isReceived);
    bob.assertNoErrors();
    await Promise.all([alice.close(), bob.close()]);
  });

  it('makes a pinned tile the large one, by mouse and by keyboard', async () => {
    const [alice, bob] = await join('pin');
    const carol = await Participant.join(chromium, server.url, { roomId: 'pin', name: 'Carol', height: '180' });
    await until('Bob sees both', async () => (await bob.tiles()).length === 3);
    assert.equal((await bob.tiles()).find((tile) => tile.large), undefined);
    const large = async () => (await bob.tiles()).find((tile) => tile.large)?.label;
    const largeIs = (name) => until(`${name} is large`, async () => (await large())?.startsWith(name));
    const noneIsLarge = () => until('none is large', async () => (await large()) === undefined);
    await bob.clicksTile('Carol');
    await largeIs('Carol');
    await bob.clicksTile('Carol');
    await noneIsLarge();
    await bob.presses('Pin Alice', 'Enter');
    await largeIs('Alice');
    await bob.presses('Unpin Alice', 'Enter');
    await noneIsLarge();
    await carol.close();
    await largeIs('Alice');
    bob.assertNoErrors();
    await Promise.all([alice.close(), bob.close()]);
  });

  async function join(roomId) {
    const alice = await Participant.join(chromium, server.url, { roomId, name: 'Alice', height: '180' });
    await alice.ids();
    const bob = await Participant.join(chromium, server.url, { roomId, name: 'Bob', height: '180' });
    await bob.frameRateFrom('Alice', 1);
    return [alice, bob];
  }
});

async function later(ask) {
  await new Promise((resolve) => setTimeout(resolve, 1000));
  return ask();
}
