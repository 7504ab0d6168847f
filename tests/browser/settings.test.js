/** The settings of a running call take effect at once, here and at the others. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launchChromium } from './lib/browsers.js';
import { Participant } from './lib/participant.js';
import { startServer } from './lib/server.js';
import { until } from './lib/until.js';

describe('settings', () => {
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

  it('change the size of the camera, and what is done to the sound, without an end of either', async () => {
    const [alice, bob] = await join('own');
    await until('Bob sees 180 lines', async () => (await bob.video('Alice')).lines === 180);
    await alice.opensSettings();
    await alice.chooses('Size of your camera’s picture', '360');
    // Two tabs share Chromium's fake camera, which then gives a size between theirs.
    await until('Bob sees more lines', async () => (await bob.video('Alice')).lines > 180);
    await alice.unchecks('Suppress background noise');
    const isRaw = async () => (await alice.microphone())?.noiseSuppression === false;
    await until('the microphone is opened anew', isRaw);
    await bob.hears('Alice');
    for (const one of [alice, bob]) one.assertNoErrors();
    await Promise.all([alice.close(), bob.close()]);
  });

  it('leave the cameras of the others out, but no shared screen', async () => {
    const [alice, bob] = await join('others');
    await bob.opensSettings();
    await bob.chooses('Cameras of the others', 'none');
    const frames = async () => (await bob.receivedFrom('Alice', 'video')).framesDecoded;
    await until('nothing comes of the camera', async () => {
      const before = await frames();
      await new Promise((resolve) => setTimeout(resolve, 700));
      return (await frames()) === before;
    });
    assert.deepEqual(await bob.shownVideos(), []);
    await alice.produceVideo({ share: true });
    await bob.seesScreenOf('Alice');
    await bob.chooses('Cameras of the others', 'all');
    await until('the camera is seen again', async () => (await bob.shownVideos()).length === 2);
    for (const one of [alice, bob]) one.assertNoErrors();
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
