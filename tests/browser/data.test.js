/** Data channels: the chat, the bot, and other channels of browsers. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launchChromium } from './lib/browsers.js';
import { Participant } from './lib/participant.js';
import { MANY_CHANNELS, startServer } from './lib/server.js';
import { until } from './lib/until.js';

describe('data channels', () => {
  let server;
  let chromium;
  let alice;
  let bob;

  before(async () => {
    server = await startServer({ config: MANY_CHANNELS });
    chromium = await launchChromium();
    alice = await Participant.join(chromium, server.url, { roomId: 'data', name: 'Alice', height: '180' });
    bob = await Participant.join(chromium, server.url, { roomId: 'data', name: 'Bob', height: '180' });
    await Promise.all([alice.chats(), bob.chats()]);
    await Promise.all([alice, bob].map((one) => one.hearsDataOf(null, 'bot')));
    await Promise.all([alice.hearsDataOf('Bob', 'chat'), bob.hearsDataOf('Alice', 'chat')]);
  });

  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  it('carry the chat, also to later participants', async () => {
    await alice.say('Hello Bob 👋');
    await bob.reads({ from: 'Alice', text: 'Hello Bob 👋' });
    const carol = await Participant.join(chromium, server.url, { roomId: 'data', name: 'Carol', height: '180' });
    await carol.chats();
    await Promise.all([alice, bob].map((one) => one.hearsDataOf('Carol', 'chat')));
    await carol.hearsDataOf('Alice', 'chat');
    await carol.say('Am I late?');
    await Promise.all([alice, bob].map((one) => one.reads({ from: 'Carol', text: 'Am I late?' })));
    await alice.say('No');
    await carol.reads({ from: 'Alice', text: 'No' });
    carol.assertNoErrors();
    await carol.close();
  });

  it('carry answers of the bot to everybody', async () => {
    await bob.say('@bot how are you?');
    const answer = { from: 'Bot', text: 'Bob said me: "how are you?"' };
    await Promise.all([alice, bob].map((one) => one.reads(answer)));
  });

  it('carry texts of 200 kB whole', async (t) => {
    const length = 200_000;
    await alice.produceData('big');
    await bob.collectData('big');
    const sent = performance.now();
    await alice.sendData('big', length);
    const received = await until('Bob has it', async () => (await bob.collected())[0]);
    t.diagnostic(`${length} bytes in ${Math.round(performance.now() - sent)} ms`);
    assert.deepEqual(received, { type: 'string', length, intact: true });
  });

  it('can be unordered and unreliable', async () => {
    await alice.produceData('loose', { ordered: false, maxRetransmits: 0 });
    await bob.collectData('loose');
    await alice.sendData('loose', 1000);
    assert.deepEqual(await until('Bob has it', async () => (await bob.collected())[0]), {
      type: 'string',
      length: 1000,
      intact: true,
    });
    const parameters = (await bob.dataConsumers()).find(({ name }) => name === 'loose');
    assert.deepEqual([parameters.ordered, parameters.maxRetransmits], [false, 0]);
  });

  it('can be opened and closed a thousand times', async (t) => {
    const start = performance.now();
    await alice.openAndClose(1000, 100);
    t.diagnostic(`${Math.round(performance.now() - start)} ms`);
    await alice.say('Still here');
    await bob.reads({ from: 'Alice', text: 'Still here' });
  });

  it('are counted by the server', async () => {
    const [consumer] = (await bob.dataConsumers()).filter(({ label }) => label === 'chat');
    const [stats] = await bob.request('getDataConsumerStats', { dataConsumerId: consumer.id });
    assert.equal(stats.label, 'chat');
    assert.ok(stats.messagesSent > 0 && stats.bytesSent > 0, JSON.stringify(stats));
    for (const participant of [alice, bob]) participant.assertNoErrors();
  });
});
