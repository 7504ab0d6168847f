/** Messages of the web app when all media packets are lost. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { launchChromium } from './lib/browsers.js';
import { startRelay } from './lib/relay.js';
import { startServer } from './lib/server.js';

/** Chromium takes 15 to 30 s to report a transport as failed. */
const GIVES_UP_MS = 60_000;

describe('blocked media', () => {
  let relay;
  let server;
  let chromium;

  before(async () => {
    relay = await startRelay({ up: { loss: 1 }, down: { loss: 1 } });
    server = await startServer({ relay });
    chromium = await launchChromium();
  });

  after(async () => {
    await chromium?.close();
    await server?.stop();
    relay?.stop();
  });

  it('is named with its address, is never called connected, and is not tried without pause', async (t) => {
    const page = await chromium.newPage();
    const joins = [];
    page.on('websocket', (socket) => {
      socket.on('framesent', ({ payload }) => {
        if (String(payload).includes('"method":"join"')) joins.push(Date.now());
      });
    });
    await page.goto(`${server.url}/?roomId=blocked&displayName=Ada&join=1`);
    const state = page.locator('.connection');
    await state.getByText('Connecting media…').waitFor({ timeout: GIVES_UP_MS });
    const message = page.locator('.stage-message');
    await message.getByText('Sound and pictures are blocked.').waitFor({ timeout: GIVES_UP_MS });
    const text = await message.innerText();
    assert.match(text, new RegExp(`UDP ${relay.ip.replaceAll('.', '\\.')}:${relay.port}\\b`), text);
    await state.getByText('No media').waitFor();
    assert.equal(await page.getByText('Connected', { exact: true }).count(), 0);
    if (process.env.SCREENSHOTS) {
      await page.screenshot({ path: path.join(process.env.SCREENSHOTS, 'blocked.png') });
      await page.setViewportSize({ width: 390, height: 844 });
      await page.screenshot({ path: path.join(process.env.SCREENSHOTS, 'blocked-phone.png') });
    }
    t.diagnostic(`${joins.length} joins until the first failure was shown`);
    assert.ok(joins.length <= 2, `${joins.length} joins`);
    assert.match(server.log(), /no connectivity check has come within/);
    await page.close();
  });
});
