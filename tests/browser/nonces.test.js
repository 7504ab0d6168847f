/**
 * Four speakers over a lossy line. All packets of the server are compared on the way, to show that no nonce is used for
 * two contents. Chromium requests lost audio without RTX, so that packets are repeated unchanged.
 *
 * The server is built with debug assertions, which check the same before encryption, and end its worker after a reuse.
 */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launchChromium } from './lib/browsers.js';
import { Participant } from './lib/participant.js';
import { startRelay } from './lib/relay.js';
import { startServer } from './lib/server.js';
import { until } from './lib/until.js';

const SPEAKERS = ['Alice', 'Bob', 'Carol', 'Dave'];

/** Number of repeated packets after which the test ends. */
const REPEATED = 40;

describe('SRTP', () => {
  let relay;
  let server;
  let chromium;

  before(async () => {
    relay = await startRelay();
    server = await startServer({ relay });
    chromium = await launchChromium();
  });

  after(async () => {
    await chromium?.close();
    await server?.stop();
    relay?.stop();
  });

  it('with 8 % loss, never reuses a nonce for other content', { timeout: 180_000 }, async (t) => {
    const people = [];
    for (const name of SPEAKERS) {
      people.push(await Participant.join(chromium, server.url, { roomId: 'nonces', name, camera: '0' }));
    }
    for (const person of people) {
      for (const name of SPEAKERS.filter((other) => other !== person.name)) await person.hears(name);
    }
    relay.up = relay.down = { loss: 0.08, delayMs: 20 };
    const down = () => relay.watches().map((watch) => watch.down);
    const total = (watches, of) => watches.reduce((sum, watch) => sum + of(watch), 0);
    await until(
      `${REPEATED} packets were sent again`,
      () => total(down(), (watch) => watch.repeated) >= REPEATED,
      { timeoutMs: 120_000, explain: () => `packets: ${total(down(), (watch) => watch.packets)}` },
    );
    relay.up = relay.down = {};
    const up = relay.watches().map((watch) => watch.up);
    t.diagnostic(`sent again by the server: ${total(down(), (watch) => watch.repeated)}`);
    t.diagnostic(`nonces that Chromium has used twice: ${total(up, (watch) => watch.reused.length)}`);
    assert.deepEqual(down().flatMap((watch) => watch.reused), []);
    assert.doesNotMatch(server.log(), /nonce reuse/);
    for (const person of people) person.assertNoErrors();
    await Promise.all(people.map((person) => person.close()));
  });
});
