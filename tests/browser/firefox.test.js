/** Firefox and Chromium in one call. */

import { after, before, describe, it } from 'node:test';
import { launchChromium, launchFirefox } from './lib/browsers.js';
import { Participant } from './lib/participant.js';
import { startServer } from './lib/server.js';

/** Frames per second. Two browsers' encoders share the cores; the test requires that everything can be decoded. */
const MIN_FRAME_RATE = 15;

describe('Firefox and Chromium', () => {
  let server;
  let chromium;
  let firefox;

  before(async () => {
    server = await startServer();
    [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  });

  after(async () => {
    await Promise.all([chromium?.close(), firefox?.close()]);
    await server?.stop();
  });

  for (const codec of ['vp8', 'vp9']) {
    it(`see and hear each other with ${codec.toUpperCase()}`, async (t) => {
      const roomId = `firefox-${codec}`;
      const fox = await Participant.join(firefox, server.url, { roomId, name: 'Fox', codec });
      await fox.ids();
      const chrome = await Participant.join(chromium, server.url, { roomId, name: 'Chrome', codec });
      for (const [self, other] of [[fox, chrome], [chrome, fox]]) {
        const frameRate = await self.reachesFrameRate(other.name, MIN_FRAME_RATE, 3);
        t.diagnostic(`${self.name} decodes ${frameRate.toFixed(1)} fps`);
        await self.hears(other.name);
        self.assertNoErrors();
      }
      const { fromJoin } = await chrome.timeToFirstFrame();
      t.diagnostic(`Chromium's first picture of Firefox came ${fromJoin} ms after the join`);
      await Promise.all([fox.close(), chrome.close()]);
    });
  }
});
