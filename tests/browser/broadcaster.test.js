/** FFmpeg and GStreamer: a browser shows what they send by plain RTP, and FFmpeg records what a browser sends. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Broadcaster } from './lib/broadcaster.js';
import { launchChromium } from './lib/browsers.js';
import * as ffmpeg from './lib/ffmpeg.js';
import * as gstreamer from './lib/gstreamer.js';
import { Participant } from './lib/participant.js';
import { startServer } from './lib/server.js';

const RECORDED_SECONDS = 4;

/** Frames per second. The senders make 15 on an idle machine; the test only requires that the video moves. */
const MIN_FRAME_RATE = 1;

describe('broadcasters', () => {
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

  for (const [name, sender] of Object.entries({ FFmpeg: ffmpeg, GStreamer: gstreamer })) {
    it(`${name} is seen and heard in a browser`, async (t) => {
      const roomId = `broadcast-${name}`;
      const alice = await Participant.join(chromium, server.url, { roomId, name: 'Alice', height: '180' });
      const camera = await Broadcaster.add(server.url, roomId, {
        id: 'camera',
        displayName: 'Test picture',
        device: { name },
      });
      const audio = await camera.createTransport({ type: 'plain', comedia: true, rtcpMux: false });
      const video = await camera.createTransport({ type: 'plain', comedia: true, rtcpMux: false });
      assert.ok(audio.rtcpPort && audio.rtcpPort !== audio.port, JSON.stringify(audio));
      await camera.produce(audio, {
        kind: 'audio',
        codec: { mimeType: 'audio/opus', payloadType: 101, clockRate: 48000, channels: 2, parameters: { 'sprop-stereo': 1 } },
        ssrc: 1111,
      });
      await camera.produce(video, {
        kind: 'video',
        codec: { mimeType: 'video/vp8', payloadType: 102, clockRate: 90000 },
        ssrc: 2222,
      });
      const sending = sender.sendTestPicture({
        audio: { ...audio, payloadType: 101, ssrc: 1111 },
        video: { ...video, payloadType: 102, ssrc: 2222 },
      });
      try {
        const frameRate = await alice.reachesFrameRate('Test picture', MIN_FRAME_RATE, 2);
        t.diagnostic(`${frameRate.toFixed(1)} fps`);
        await alice.hears('Test picture');
      } finally {
        await sending.stop();
      }
      await camera.remove();
      await alice.isAlone();
      alice.assertNoErrors();
      await alice.close();
    });
  }

  it('FFmpeg records what a browser sends into a file that is whole', async (t) => {
    const roomId = 'record';
    const alice = await Participant.join(chromium, server.url, { roomId, name: 'Alice', height: '180' });
    const ids = await alice.ids();
    const capabilities = await Broadcaster.rtpCapabilities(server.url, roomId);
    const recorder = await Broadcaster.add(server.url, roomId, {
      id: 'recorder',
      displayName: 'Recorder',
      rtpCapabilities: Broadcaster.only(capabilities, ['audio/opus', 'video/vp8']),
    });
    assert.deepEqual(recorder.peers.map(({ displayName, producers }) => [displayName, producers.length]), [['Alice', 2]]);
    const transports = [
      await recorder.createTransport({ type: 'plain', comedia: false, rtcpMux: false }),
      await recorder.createTransport({ type: 'plain', comedia: false, rtcpMux: false }),
    ];
    const file = await ffmpeg.record({
      seconds: RECORDED_SECONDS,
      payloadTypes: {
        audio: Broadcaster.payloadType(capabilities, 'audio/opus'),
        video: Broadcaster.payloadType(capabilities, 'video/vp8'),
      },
      async connect(ports) {
        await recorder.plainConnect(transports[0], ports.audio);
        await recorder.plainConnect(transports[1], ports.video);
        return { audio: transports[0], video: transports[1] };
      },
      async start() {
        await recorder.consume(transports[0], ids.mic);
        await recorder.consume(transports[1], ids.camera);
      },
    });
    const { streams, seconds, frames } = await ffmpeg.probe(file);
    t.diagnostic(`${seconds.toFixed(1)} s with ${frames} pictures`);
    assert.deepEqual(streams, ['opus', 'vp8']);
    assert.ok(seconds > RECORDED_SECONDS / 2, `${seconds} s`);
    assert.ok(frames > 10 * (RECORDED_SECONDS / 2), `${frames} pictures`);
    await recorder.remove();
    await alice.close();
  });
});
