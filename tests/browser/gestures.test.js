/** Raised hands, reactions, and what a chat that is not open shows. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launchChromium } from './lib/browsers.js';
import { Participant } from './lib/participant.js';
import { startServer } from './lib/server.js';

describe('without words', () => {
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

  it('a hand is up for everybody, also for who comes later, until it goes down', async () => {
    const [alice, bob] = [await join('hands', 'Alice'), await join('hands', 'Bob')];
    await Promise.all([alice.hearsDataOf('Bob', 'chat'), bob.hearsDataOf('Alice', 'chat')]);
    await alice.reacts('Raise your hand');
    await bob.sees('.tile[aria-label^="Alice"][aria-label*="hand raised"]');
    const carol = await join('hands', 'Carol');
    await carol.sees('.tile[aria-label^="Alice"][aria-label*="hand raised"]');
    await carol.sees('button[aria-label^="People"][aria-label*="1 with a raised hand"]');
    await alice.reacts('Lower your hand');
    for (const other of [bob, carol]) await other.sees('.tile[aria-label^="Alice"]:not([aria-label*="hand raised"])');
    for (const one of [alice, bob, carol]) one.assertNoErrors();
    await Promise.all([alice.close(), bob.close(), carol.close()]);
  });

  it('a reaction rises over the tile of who sends it, and is no message', async () => {
    const [alice, bob] = [await join('reactions', 'Alice'), await join('reactions', 'Bob')];
    await Promise.all([alice.hearsDataOf('Bob', 'chat'), bob.hearsDataOf('Alice', 'chat')]);
    const seen = bob.sees('.tile[aria-label^="Alice"] .rising span');
    await alice.reacts('Applause');
    await seen;
    await bob.sees('button[aria-label="Chat"]');
    await Promise.all([alice.close(), bob.close()]);
  });

  it('messages are counted until they are read, and their links lead out of the call', async () => {
    const [alice, bob] = [await join('unread', 'Alice'), await join('unread', 'Bob')];
    await alice.chats();
    await Promise.all([alice.hearsDataOf('Bob', 'chat'), bob.hearsDataOf('Alice', 'chat')]);
    await alice.say('see https://example.com/a?b=c.');
    await alice.say('javascript:alert(1)');
    await bob.sees('button[aria-label="Chat, 2 new"]');
    await bob.chats();
    await bob.sees('button[aria-label="Chat"]');
    assert.deepEqual(await bob.linksOfChat(), [
      { href: 'https://example.com/a?b=c', target: '_blank', rel: 'noopener noreferrer' },
    ]);
    await Promise.all([alice.close(), bob.close()]);
  });

  async function join(roomId, name) {
    const one = await Participant.join(chromium, server.url, { roomId, name, height: '180' });
    await one.ids();
    return one;
  }
});
