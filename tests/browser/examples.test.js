/** The library's examples, with pages as their comments describe them. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launchChromium } from './lib/browsers.js';
import { bundleClient, ExamplePage, servePage, startExample } from './lib/example.js';
import { launch } from './lib/gstreamer.js';

const moves = ({ frames }) => frames > 10;
/** More than the noise that a decoder produces for silence. */
const sounds = ({ energy }) => energy > 1e-4;

describe('the example', () => {
  let chromium;
  let site;

  before(async () => {
    site = await servePage(await bundleClient());
    chromium = await launchChromium();
  });

  after(async () => {
    await chromium?.close();
    site?.stop();
  });

  /** Runs an example, with pages that contain the client. */
  async function withExample(name, test) {
    const example = await startExample(name);
    const pages = [];
    const open = async () => {
      pages.push(await ExamplePage.open(chromium, site.url));
      return pages.at(-1);
    };
    try {
      await test(example, open);
    } finally {
      await Promise.all(pages.map((page) => page.close()));
    }
    await example.stop();
  }

  it('echo sends a page its own media', () =>
    withExample('echo', async ({ url }, open) => {
      const page = await open();
      await page.connect(`${url}ws`);
      for (const [kind, comes] of [['audio', sounds], ['video', moves]]) {
        const producer = await page.call('produce', kind);
        const consumer = await page.call('consume', producer);
        await page.receives(`its ${kind}`, consumer, comes);
      }
    }));

  it('videoroom lets all pages of a room see and hear each other', () =>
    withExample('videoroom', async ({ url }, open) => {
      const [alice, bob] = [await open(), await open()];
      const kinds = [['audio', sounds], ['video', moves]];
      await alice.connect(`${url}room`);
      for (const [kind] of kinds) await alice.call('produce', kind);
      await bob.connect(`${url}room`);
      const ofBob = [];
      for (const [kind] of kinds) ofBob.push(await bob.call('produce', kind));
      for (const page of [alice, bob]) {
        // Existing producers are announced in any order.
        for (let count = 0; count < kinds.length; count += 1) {
          const { producerId } = await page.event('ProducerAdded');
          const consumer = await page.call('consume', producerId);
          await page.receives('the other one', consumer, (received) => moves(received) || sounds(received));
        }
      }
      await bob.call('close');
      const removed = [await alice.event('ProducerRemoved'), await alice.event('ProducerRemoved')];
      assert.deepEqual(removed.map(({ producerId }) => producerId).sort(), ofBob.sort());
    }));

  const layered = {
    vp8: [4, 2, 1].map((scaleResolutionDownBy) => ({ scaleResolutionDownBy, scalabilityMode: 'L1T3' })),
    vp9: [{ scalabilityMode: 'L3T3_KEY' }],
  };
  for (const [codec, encodings] of Object.entries(layered)) {
    it(`svc_simulcast sends a page its own video in the layers that it asks for, with ${codec.toUpperCase()}`, () =>
      withExample('svc_simulcast', async ({ url }, open) => {
        const page = await open();
        await page.connect(url + codec);
        const producer = await page.call('produce', 'video', { encodings });
        const consumer = await page.call('consume', producer);
        // A quarter of 540 lines is 135, or 136 if an encoder needs even numbers.
        const sizes = [[0, (lines) => lines > 0 && lines < 200], [2, (lines) => lines > 500]];
        for (const [spatialLayer, isRight] of sizes) {
          await page.call('setPreferredLayers', consumer, { spatialLayer });
          const comes = (received) => moves(received) && isRight(received.lines);
          await page.receives(`layer ${spatialLayer}`, consumer, comes);
        }
        const { score } = await page.event('ConsumerScore');
        assert.equal(score.producerScores.length, encodings.length);
        assert.equal((await page.event('ConsumerLayersChanged')).id, consumer);
      }));
  }

  it('multiopus has a page play surround sound that GStreamer sends', () =>
    withExample('multiopus', async ({ url, output }, open) => {
      const page = await open();
      await page.decodeSurround();
      await page.connect(`${url}music`);
      const gstreamer = launch(output().match(/^gst-launch-1\.0 (.*)/m)[1]);
      try {
        const { producerId } = await page.event('ProducerAdded');
        const consumer = await page.call('consume', producerId);
        const { codec } = await page.receives('sound', consumer, sounds);
        assert.equal(codec, 'audio/multiopus');
      } finally {
        await gstreamer.stop();
      }
    }));
});
