/**
 * pymediasoup, a client library that reads the JSON of mediasoup's Node library, and writes null for missing values.
 */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { runAiortc } from './lib/aiortc.js';
import { startServer } from './lib/server.js';

const SCENARIO_MS = 60_000;

describe('pymediasoup', () => {
  let server;

  before(async () => {
    server = await startServer();
  });

  after(async () => {
    await server?.stop();
  });

  it('calls pymediasoup, with sound, pictures, messages and statistics', async () => {
    const call = runAiortc('mediasoup_call.py', server.url, 'pymediasoup');
    await call.ends(SCENARIO_MS);
    const got = new Map(call.lines().map((line) => [line.what, line]));
    assert.ok(got.get('audio').frames > 0 && got.get('video').frames > 0);
    assert.equal(got.get('data').text, 'Hello');
    assert.deepEqual(got.get('stats').types, ['inbound-rtp', 'outbound-rtp', 'webrtc-transport']);
  });
});
