/** Every page and everything that opens in a call, looked at by axe-core, in light and dark. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, describe, it } from 'node:test';
import { launchChromium } from './lib/browsers.js';
import { startServer } from './lib/server.js';

describe('accessibility', () => {
  let server;
  let chromium;
  let axe;

  before(async () => {
    server = await startServer();
    chromium = await launchChromium();
    axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  });

  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  for (const colorScheme of ['light', 'dark']) {
    it(`has no serious fault in ${colorScheme}, on any page`, async () => {
      const page = await chromium.newPage({ colorScheme });
      // No animation hides or dims what is looked at.
      await page.emulateMedia({ reducedMotion: 'reduce' });
      const faults = [];
      const look = async (what) => {
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => window.axe.run());
        for (const { impact, id, nodes } of violations) {
          if (['serious', 'critical'].includes(impact)) faults.push(`${what}: ${id}: ${nodes.map(({ html }) => html)}`);
        }
      };
      const opens = async (shortcut, selector) => {
        await page.keyboard.press(shortcut);
        await page.waitForSelector(selector);
        await look(selector);
      };
      await page.goto(`${server.url}/?roomId=axe-${colorScheme}&name=Ada&height=180`);
      await page.waitForSelector('.preview video');
      await look('the lobby');
      await page.click('button:has-text("Join")');
      await page.waitForSelector('.tile video.live');
      await look('the call');
      await opens('Control+Alt+KeyC', '.chat');
      await opens('Control+Alt+KeyP', '.people-panel li');
      await opens('Control+/', '.shortcuts');
      await page.keyboard.press('Escape');
      for (const label of ['Reactions and raising a hand', 'Choose microphone and speaker', 'More options']) {
        await page.click(`button[aria-label="${label}"]`);
        await page.waitForSelector('.popover');
        await look(label);
        if (label !== 'More options') await page.keyboard.press('Escape');
      }
      await page.click('.menu button:has-text("Settings")');
      await page.waitForSelector('dialog .test-tone');
      await look('the settings');
      await page.keyboard.press('Escape');
      await page.click('button[aria-label="Leave the call"]');
      await page.waitForSelector('.ended');
      await look('the end');
      assert.deepEqual(faults, []);
      await page.close();
    });
  }
});
