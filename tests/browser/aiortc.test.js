/** Calls with aiortc, a client whose ICE, DTLS, SRTP and SCTP are independent of browsers and of Tureen. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { runAiortc } from './lib/aiortc.js';
import { launchChromium } from './lib/browsers.js';
import { Participant } from './lib/participant.js';
import { MANY_CHANNELS, startServer } from './lib/server.js';
import { until } from './lib/until.js';

/** Frames per second. aiortc sends 30 on an idle machine. */
const MIN_FRAME_RATE = 5;

const SCENARIO_MS = 60_000;

/** Scenarios of aiortc/data.py. */
const DATA_SCENARIOS = {
  ordered: 'messages of all kinds whole and in order',
  unordered: 'messages without order and retransmissions',
  large: 'messages of 200 KB',
  many: 'messages on many channels',
  reset: 'ends of channels, and others on their streams',
};

describe('aiortc', () => {
  let server;
  let chromium;

  before(async () => {
    server = await startServer({ config: MANY_CHANNELS });
    chromium = await launchChromium();
  });

  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  it('and a browser see, hear and read each other', async (t) => {
    const roomId = 'aiortc';
    const alice = await Participant.join(chromium, server.url, { roomId, name: 'Alice', codec: 'vp8', height: '180' });
    await alice.ids();
    await alice.chats();
    const aiortc = runAiortc('call.py', server.url, roomId);
    try {
      await alice.hears('aiortc');
      const frameRate = await alice.reachesFrameRate('aiortc', MIN_FRAME_RATE, 2);
      t.diagnostic(`the browser decodes ${frameRate.toFixed(1)} fps`);
      await alice.hearsDataOf('aiortc', 'chat');
      await alice.say('Hello');
      await alice.reads({ from: 'aiortc', text: 'Hello too' });
      const told = (what) => until(`aiortc gets ${what}`, () => aiortc.lines().find((line) => line.what === what), {
        explain: () => aiortc.complaints(),
      });
      const [video, audio, chat] = await Promise.all(['video', 'audio', 'chat'].map(told));
      t.diagnostic(`aiortc decoded ${video.frames} pictures of ${video.width}x${video.height}`);
      assert.equal(video.width / video.height, 320 / 180);
      assert.ok(audio.loudest > 0);
      assert.equal(chat.text, 'Hello');
    } finally {
      await aiortc.ends(SCENARIO_MS);
    }
    await alice.isAlone();
    alice.assertNoErrors();
    await alice.close();
  });

  for (const [scenario, what] of Object.entries(DATA_SCENARIOS)) {
    it(`gets ${what} through the router`, () => runAiortc('data.py', server.url, scenario).ends(SCENARIO_MS));
  }
});
