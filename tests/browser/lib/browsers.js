/** Real browsers with fake cameras and microphones. */

import { chromium } from 'playwright-core';
import puppeteer from 'puppeteer-core';

const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
const FIREFOX = process.env.FIREFOX_BIN ?? '/usr/bin/firefox-esr';

/**
 * Starts Chromium, whose fake camera gives 30 frames per second.
 *
 * @param {{ sharedTab?: string }} options `sharedTab`: the title of the tab that is chosen where a page wants to share.
 * @returns {Promise<{ newPage: () => Promise<Page>, close: () => Promise<void> }>}
 */
export async function launchChromium({ sharedTab } = {}) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--use-fake-device-for-media-stream=fps=30',
      // The fake UI would give a fake screen, too.
      sharedTab ? `--auto-select-tab-capture-source-by-title=${sharedTab}` : '--use-fake-ui-for-media-stream',
      '--autoplay-policy=no-user-gesture-required',
      '--allow-loopback-in-peer-connection',
    ],
  });
  return {
    async newPage({ initScript, ...options } = {}) {
      const context = await browser.newContext({
        ignoreHTTPSErrors: true,
        permissions: ['camera', 'microphone'],
        viewport: { width: 1280, height: 720 },
        ...options,
      });
      const page = await context.newPage();
      if (initScript) await page.addInitScript(initScript);
      return page;
    },
    close: () => browser.close(),
  };
}

/** Starts Firefox, controlled by WebDriver BiDi. */
export async function launchFirefox() {
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: FIREFOX,
    headless: true,
    acceptInsecureCerts: true,
    extraPrefsFirefox: {
      'media.autoplay.default': 0,
      'media.navigator.permission.disabled': true,
      'media.navigator.streams.fake': true,
      'media.peerconnection.ice.loopback': true,
    },
  });
  return {
    async newPage({ initScript } = {}) {
      const page = await browser.newPage();
      if (initScript) await page.evaluateOnNewDocument(initScript);
      return page;
    },
    close: () => browser.close(),
  };
}
