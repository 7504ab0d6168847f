/** Two Chromium tabs in a call, with each video codec. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { untilGood } from './lib/attempts.js';
import { launchChromium } from './lib/browsers.js';
import { Participant } from './lib/participant.js';
import { startServer } from './lib/server.js';
import { until } from './lib/until.js';

/** Frames per second. The fake camera gives 30. */
const MIN_FRAME_RATE = 25;
const MEASURED_SECONDS = 4;

describe('two Chromium tabs', () => {
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

  for (const codec of ['vp8', 'vp9', 'h264', 'av1']) {
    it(`see and hear each other with ${codec.toUpperCase()}`, async (t) => {
      const [alice, bob] = await join(`codec-${codec}`, codec);
      for (const [self, other] of [[alice, bob], [bob, alice]]) {
        const frameRate = await self.reachesFrameRate(other.name, MIN_FRAME_RATE, MEASURED_SECONDS);
        const video = await self.receivedFrom(other.name, 'video');
        t.diagnostic(`${self.name}: ${frameRate.toFixed(1)} fps of ${video.codec}, width ${video.width}`);
        assert.equal(video.codec.toLowerCase(), `video/${codec}`);
        await self.hears(other.name);
        self.assertNoErrors();
      }
      const { fromNavigation, fromJoin } = await bob.timeToFirstFrame();
      t.diagnostic(`first picture ${fromJoin} ms after the join, ${fromNavigation} ms after the navigation`);
      await Promise.all([alice.close(), bob.close()]);
    });
  }

  it('notice within a second that the other one is gone', async (t) => {
    const roomId = 'leaving';
    const alice = await Participant.join(chromium, server.url, { roomId, name: 'Alice' });
    const leave = async () => {
      const bob = await Participant.join(chromium, server.url, { roomId, name: 'Bob' });
      await alice.frameRateFrom('Bob', 1);
      const closed = performance.now();
      await bob.close();
      await alice.isAlone();
      return Math.round(performance.now() - closed);
    };
    const ms = await untilGood('milliseconds until it was noticed', leave, (ms) => ms <= 1000);
    t.diagnostic(`noticed ${ms} ms after the tab was closed`);
    alice.assertNoErrors();
    await alice.close();
  });

  it('see who is speaking', async () => {
    const [alice, bob] = await join('speaking');
    const [{ mic: ofAlice }, { mic: ofBob }] = await Promise.all([alice.ids(), bob.ids()]);
    await alice.request('pauseProducer', { producerId: ofAlice });
    await Promise.all([alice.marksAsSpeaking('Bob'), bob.marksAsSpeaking('Bob')]);
    await bob.request('pauseProducer', { producerId: ofBob });
    await Promise.all([alice.marksAsSpeaking(null), bob.marksAsSpeaking(null)]);
    await alice.request('resumeProducer', { producerId: ofAlice });
    await Promise.all([alice.marksAsSpeaking('Alice'), bob.marksAsSpeaking('Alice')]);
    alice.assertNoErrors();
    await Promise.all([alice.close(), bob.close()]);
  });

  it('get plausible statistics from the server', async () => {
    // Cameras of this height have one layer, so that the statistics of both sides are about the same stream.
    const [alice, bob] = await join('statistics', 'vp8', { height: '180' });
    await Promise.all([alice.frameRateFrom('Bob', 2), bob.frameRateFrom('Alice', 2)]);
    const ids = await alice.ids();
    const ask = (method, data, enough) =>
      until(`${method} tells enough`, async () => {
        const stats = await alice.request(method, data);
        return enough(...stats) && stats;
      });

    const [microphone] = await ask('getProducerStats', { producerId: ids.mic }, (stats) => stats?.packetCount >= 20);
    const isGood = (stats) => stats?.packetCount >= 30 && stats.score >= 8;
    const [camera, ...others] = await ask('getProducerStats', { producerId: ids.camera }, isGood);
    assert.equal(microphone.kind, 'audio');
    assert.equal(camera.mimeType.toLowerCase(), 'video/vp8');
    assert.deepEqual(others, []);
    within('packets of the microphone', microphone.packetCount, 20, 5000);
    within('packets of the camera', camera.packetCount, 30, 20_000);
    within('bit rate of the camera', camera.bitrate, 20_000, 5_000_000);
    within('score of the camera', camera.score, 8, 10);
    within('packets lost', camera.packetsLost, 0, 5);

    const [sending] = await alice.request('getTransportStats', { transportId: ids.sendTransport });
    const [receiving] = await alice.request('getTransportStats', { transportId: ids.recvTransport });
    for (const transport of [sending, receiving]) {
      assert.equal(transport.dtlsState, 'connected');
      assert.match(transport.iceState, /^(connected|completed)$/);
      assert.equal(transport.iceSelectedTuple.protocol, 'udp');
    }
    within('bytes sent by Alice', sending.rtpBytesReceived, 5000, 10_000_000);
    within('bytes received by Alice', receiving.rtpBytesSent, 5000, 10_000_000);

    const { consumerId } = await alice.receivedFrom('Bob', 'video');
    const [sent, source] = await ask('getConsumerStats', { consumerId }, isGood);
    within('packets to Alice', sent.packetCount, 30, 20_000);
    within('score of what is sent to Alice', sent.score, 8, 10);
    within('packets that Bob sent', source.packetCount, sent.packetCount * 0.9, 20_000);

    await Promise.all([alice.close(), bob.close()]);
  });

  it('see and hear each other over TCP alone', async (t) => {
    const [alice, bob] = await join('tcp', 'vp8', { forceTcp: '1' });
    for (const [self, other] of [[alice, bob], [bob, alice]]) {
      const frameRate = await self.reachesFrameRate(other.name, MIN_FRAME_RATE, MEASURED_SECONDS);
      t.diagnostic(`${self.name}: ${frameRate.toFixed(1)} fps`);
      await self.hears(other.name);
      const ids = await self.ids();
      for (const transportId of [ids.sendTransport, ids.recvTransport]) {
        const [transport] = await self.request('getTransportStats', { transportId });
        assert.equal(transport.iceSelectedTuple.protocol, 'tcp');
      }
      self.assertNoErrors();
    }
    await Promise.all([alice.close(), bob.close()]);
  });

  it('see each other without a lost second while ICE restarts', async (t) => {
    const [alice, bob] = await join('ice-restart', 'vp8', { height: '180' });
    const both = (what) => Promise.all([what(alice, 'Bob'), what(bob, 'Alice')]);
    await both((self, other) => self.frameRateFrom(other, 1));
    const restart = async () => {
      await both((self, other) => self.watchPictures(other));
      const start = performance.now();
      await both((self) => self.restartIce());
      t.diagnostic(`all four transports have another path after ${Math.round(performance.now() - start)} ms`);
      const seen = await both((self) => self.seenPictures(60));
      for (const { pictures, longestGapMs } of seen) {
        t.diagnostic(`${pictures} pictures, the longest stood for ${Math.round(longestGapMs)} ms`);
      }
      return Math.max(...seen.map(({ longestGapMs }) => longestGapMs));
    };
    await untilGood('milliseconds that a picture stood', restart, (ms) => ms < 1000);
    for (const self of [alice, bob]) {
      const ids = await self.ids();
      for (const transportId of [ids.sendTransport, ids.recvTransport]) {
        await until('ICE has completed', async () => {
          const [{ iceState, dtlsState }] = await self.request('getTransportStats', { transportId });
          assert.equal(dtlsState, 'connected');
          return iceState === 'completed';
        });
      }
      self.assertNoErrors();
      await self.close();
    }
  });

  async function join(roomId, codec, others = {}) {
    const alice = await Participant.join(chromium, server.url, { roomId, name: 'Alice', codec, ...others });
    await alice.ids();
    const bob = await Participant.join(chromium, server.url, { roomId, name: 'Bob', codec, ...others });
    return [alice, bob];
  }
});

function within(what, value, low, high) {
  assert.ok(value >= low && value <= high, `${what}: ${value} is not within ${low} and ${high}`);
}
