/** Screenshots of the lobby and of a call. Their folder is printed. */

import assert from 'node:assert/strict';
import { mkdtemp, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { launchChromium } from './lib/browsers.js';
import { Participant } from './lib/participant.js';
import { startServer } from './lib/server.js';

describe('screenshots', () => {
  let server;
  let chromium;
  let folder;

  before(async () => {
    server = await startServer();
    chromium = await launchChromium();
    folder = process.env.SCREENSHOTS ?? (await mkdtemp(path.join(tmpdir(), 'tureen-screenshots-')));
  });

  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  it('of the lobby', async (t) => {
    const page = await chromium.newPage();
    await page.goto(server.url);
    await page.getByRole('button', { name: /join/i }).waitFor();
    await page.screenshot({ path: path.join(folder, 'lobby.png') });
    await page.close();
    await assertPicture(t, 'lobby.png');
  });

  it('of a call', async (t) => {
    const roomId = 'screenshots';
    const participants = [];
    for (const name of ['Alice', 'Bob', 'Carol']) {
      participants.push(await Participant.join(chromium, server.url, { roomId, name }));
    }
    const [alice] = participants;
    await Promise.all([alice.frameRateFrom('Bob', 1), alice.frameRateFrom('Carol', 1)]);
    await alice.screenshot(path.join(folder, 'call.png'));
    await Promise.all(participants.map((participant) => participant.close()));
    await assertPicture(t, 'call.png');
  });

  async function assertPicture(t, name) {
    const file = path.join(folder, name);
    t.diagnostic(file);
    assert.ok((await stat(file)).size > 10_000, `${file} is next to empty`);
  }
});
