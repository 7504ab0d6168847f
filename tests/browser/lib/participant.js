/** One participant of a call: a page of the web app, and the state that tests check. */

import assert from 'node:assert/strict';
import { recorder } from './recorder.js';
import { rembOnly } from './remb-only.js';
import { until } from './until.js';

/** Time in the lobby, shorter than that of a real user. */
const LOBBY_S = 2;

export class Participant {
  #page;
  #errors = [];

  constructor(page, name) {
    this.#page = page;
    this.name = name;
    page.on('pageerror', (error) => this.#errors.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') this.#errors.push(message.text());
    });
  }

  /** Opens a page of `browser` with these URL parameters (`roomId`, `name` and others) and joins at once. */
  static join(browser, serverUrl, parameters) {
    const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
    return Participant.#open(browser, serverUrl, { join: '1', ...Object.fromEntries(given) });
  }

  /** Like `join`, for a client that supports REMB and no transport-wide feedback. */
  static joinWithRembOnly(browser, serverUrl, parameters) {
    return Participant.#open(browser, serverUrl, { join: '1', ...parameters }, `(${recorder})(); (${rembOnly})();`);
  }

  /** Opens a page of `browser`, waits in the lobby with the camera's preview and joins by the button. */
  static async joinByLobby(browser, serverUrl, { roomId, name, height }) {
    const participant = await Participant.#open(browser, serverUrl, { roomId, name, ...(height ? { height } : {}) });
    const page = participant.#page;
    await page.waitForFunction((seconds) => document.querySelector('video')?.currentTime > seconds, LOBBY_S);
    await page.click('button:has-text("Join")');
    return participant;
  }

  static async #open(browser, serverUrl, parameters, initScript = recorder) {
    const page = await browser.newPage({ initScript });
    const participant = new Participant(page, parameters.name);
    await page.goto(`${serverUrl}/?${new URLSearchParams(parameters)}`);
    return participant;
  }

  /** Closes the page like a user who closes a tab. */
  close() {
    return this.#page.close();
  }

  screenshot(path) {
    return this.#page.screenshot({ path });
  }

  /** Errors of the page's console and scripts. */
  get errors() {
    return this.#errors;
  }

  /** Names of the other participants, in order of arrival. */
  peers() {
    return this.#page.evaluate(() =>
      [...(window.tureen?.room.peers.values() ?? [])].map((peer) => peer.displayName),
    );
  }

  /** Waits until there are no other participants and nothing is received. */
  isAlone(limits) {
    const alone = async () => (await this.peers()).length === 0 && (await this.received()).length === 0;
    return this.#until('is alone', alone, limits);
  }

  /** Statistics of all received media: `[{ kind, peer, codec, ... }]`. */
  async received() {
    return this.#page.evaluate(async () => {
      const room = window.tureen?.room;
      if (!room) return [];
      const state = room.state.get();
      const rows = [];
      for (const consumer of room.consumers.values()) {
        // Fails if the consumer has just been closed.
        const stats = [...((await consumer.getStats().catch(() => null))?.values() ?? [])];
        const inbound = stats.find(({ type }) => type === 'inbound-rtp');
        const info = state.consumers.get(consumer.id);
        if (!inbound || !info) continue;
        rows.push({
          consumerId: consumer.id,
          kind: consumer.kind,
          peer: state.peers.get(info.peerId)?.displayName,
          codec: stats.find(({ id }) => id === inbound.codecId)?.mimeType,
          at: inbound.timestamp,
          framesDecoded: inbound.framesDecoded ?? 0,
          width: inbound.frameWidth ?? 0,
          height: inbound.frameHeight ?? 0,
          // Without padding and retransmissions, and without headers.
          mediaBytes: inbound.bytesReceived - (inbound.retransmittedBytesReceived ?? 0),
          freezes: inbound.freezeCount ?? 0,
          // Delay of frames for retransmissions.
          waitsMs: consumer.rtpReceiver.jitterBufferTarget ?? 0,
          freezesDuration: inbound.totalFreezesDuration ?? 0,
          audioEnergy: inbound.totalAudioEnergy ?? 0,
          packetsLost: inbound.packetsLost,
          packetsReceived: inbound.packetsReceived,
        });
      }
      return rows;
    });
  }

  /** Header extensions of a consumer. */
  headerExtensions(consumerId) {
    return this.#page.evaluate(
      (id) => window.tureen.room.consumers.get(id).rtpParameters.headerExtensions.map(({ uri }) => uri),
      consumerId,
    );
  }

  /** Statistics of one kind from one peer; undefined if nothing is received. */
  async receivedFrom(peer, kind) {
    return (await this.received()).find((row) => row.peer === peer && row.kind === kind);
  }

  /** State of the page, for the error of a wait that has failed. */
  async report() {
    const state = await this.#page.evaluate(() => {
      const { phase, transports, sendErrors, peers } = window.tureen?.room.state.get() ?? {};
      return { phase, transports, sendErrors, peers: [...(peers?.keys() ?? [])] };
    });
    return JSON.stringify({ name: this.name, state, received: await this.received(), errors: this.#errors }, null, 2);
  }

  /** Waits until `peer`'s video has been received for at least `seconds` and returns its frame rate. */
  async frameRateFrom(peer, seconds) {
    const first = await this.#until(`decodes ${peer}'s video`, async () => {
      const video = await this.receivedFrom(peer, 'video');
      return video?.framesDecoded > 0 && video;
    });
    const last = await this.#until(`sees ${peer} for ${seconds} s`, async () => {
      const video = await this.receivedFrom(peer, 'video');
      return video?.at - first.at >= seconds * 1000 && video;
    });
    return (last.framesDecoded - first.framesDecoded) / ((last.at - first.at) / 1000);
  }

  /** Waits until `peer`'s video has had such a frame rate for some seconds, and returns the rate. */
  async reachesFrameRate(peer, framesPerSecond, seconds) {
    const rates = [];
    const reached = async () => {
      rates.push(await this.frameRateFrom(peer, seconds));
      return rates.at(-1) >= framesPerSecond && rates.at(-1);
    };
    const explain = async () => `frames a second: ${rates.map((rate) => rate.toFixed(1))}\n${await this.report()}`;
    return this.#until(`sees ${framesPerSecond} pictures of ${peer} a second`, reached, { explain });
  }

  /** Video of `peer` on the screen: `{ consumerId, scalabilityMode, lines }`. */
  video(peer) {
    return this.#until(`shows ${peer}'s video`, () =>
      this.#page.evaluate((peer) => {
        const shown = window.tureenTest.video(peer);
        if (!shown?.element.videoHeight) return null;
        const { consumer, element } = shown;
        const { scalabilityMode } = consumer.rtpParameters.encodings[0];
        return { consumerId: consumer.id, scalabilityMode, lines: element.videoHeight };
      }, peer),
    );
  }

  /**
   * Requests a spatial layer of `peer`'s video until it has so many lines, because senders do not start all layers at
   * once.
   */
  async reachesLines(peer, spatialLayer, lines) {
    const { consumerId } = await this.video(peer);
    await this.request('setConsumerPreferredLayers', { consumerId, spatialLayer });
    await this.#until(`sees ${lines} lines of ${peer}`, async () => (await this.video(peer)).lines === lines);
  }

  /** Requests a spatial layer and returns `{ ms, lines }` of the first frame of another size. */
  switchLayer(peer, spatialLayer) {
    return this.#page.evaluate(([peer, layer]) => window.tureenTest.switchLayer(peer, layer), [peer, spatialLayer]);
  }

  /** Restarts ICE on both transports at once and waits until both use new candidate pairs. */
  restartIce() {
    return this.#page.evaluate(() => {
      const { sendTransport, recvTransport } = window.tureen.room;
      return Promise.all([sendTransport, recvTransport].map(window.tureenTest.restartIce));
    });
  }

  /** Starts to record the gaps between frames of `peer`, for `seenPictures`. */
  async watchPictures(peer) {
    await this.video(peer);
    await this.#page.evaluate((peer) => {
      window.tureenTest.watched = window.tureenTest.watchPictures(peer);
    }, peer);
  }

  /** Waits for some more frames; `{ pictures, longestGapMs }` since `watchPictures`. */
  async seenPictures(more) {
    const seen = () => this.#page.evaluate(() => window.tureenTest.watched);
    const { pictures } = await seen();
    return this.#until(`sees ${more} more pictures`, async () => {
      const now = await seen();
      return now.pictures >= pictures + more && now;
    });
  }

  /** Opens the chat and waits until it can be used. */
  async chats() {
    const page = this.#page;
    await page.waitForSelector('button[aria-label^="Chat"]');
    await page.click('button[aria-label^="Chat"]');
    await page.waitForSelector('.chat input[placeholder="Message"]');
  }

  /** Writes a chat message like a user. */
  async say(text) {
    await this.#page.fill('.chat input', text);
    await this.#page.press('.chat input', 'Enter');
  }

  /** Opens the reactions and presses the button of that name. */
  async reacts(name) {
    await this.#page.click('button[aria-label^="Reactions"]');
    await this.#page.getByRole('dialog').getByRole('button', { name }).click();
    await this.#page.keyboard.press('Escape');
  }

  async opensSettings() {
    await this.#page.click('button[aria-label="More options"]');
    await this.#page.click('.menu button:has-text("Settings")');
    await this.#page.waitForSelector('dialog');
  }

  /** Chooses an option by its value in the settings. */
  chooses(label, value) {
    return this.#page.getByLabel(label).selectOption(value);
  }

  unchecks(label) {
    return this.#page.getByLabel(label).uncheck();
  }

  /** What the browser says of the microphone that is sent. */
  microphone() {
    return this.#page.evaluate(() => window.tureen.room.producers.get('mic')?.track?.getSettings());
  }

  /** Waits until there is such an element. */
  sees(selector) {
    return this.#until(`sees ${selector}`, async () => (await this.#page.locator(selector).count()) > 0);
  }

  linksOfChat() {
    return this.#page.evaluate(() =>
      [...document.querySelectorAll('.chat a')].map(({ href, target, rel }) => ({ href, target, rel })),
    );
  }

  /** Waits until a message is shown. */
  reads({ from, text }) {
    return this.#until(`reads "${text}" of ${from}`, () =>
      this.#page.evaluate(({ from, text }) => {
        let sender = '';
        return [...document.querySelectorAll('.chat .message')].some((message) => {
          sender = message.querySelector('.sender')?.firstChild.textContent.trim() ?? sender;
          return sender === from && message.querySelector('.text').textContent === text;
        });
      }, { from, text }),
    );
  }

  /** All data consumers: `[{ id, label, name, peer, ordered, maxRetransmits }]`; `peer` is null for the bot. */
  dataConsumers() {
    return this.#page.evaluate(() => {
      const { room } = window.tureen;
      return [...room.dataConsumers.values()].map(({ id, label, appData, sctpStreamParameters }) => {
        const { ordered, maxRetransmits } = sctpStreamParameters;
        const peer = room.peers.get(appData.peerId)?.displayName ?? null;
        return { id, label, name: appData.name, peer, ordered, maxRetransmits };
      });
    });
  }

  /**
   * Waits until the data consumer of `peer`'s channel is open, so that no later message is missed; null is the bot.
   */
  hearsDataOf(peer, label) {
    return this.#until(`hears the ${label} of ${peer ?? 'the bot'}`, async () =>
      (await this.dataConsumers()).some((one) => one.peer === peer && one.label === label),
    );
  }

  /** Creates another data producer, which everybody receives. `sendData` and `collectData` refer to it by its name. */
  produceData(name, options = {}) {
    return this.#page.evaluate(async ([name, options]) => {
      const appData = { name };
      const producer = await window.tureen.room.sendTransport.produceData({ label: 'chat', appData, ...options });
      (window.tureenTest.dataProducers ??= {})[name] = producer;
    }, [name, options]);
  }

  /** Sends so many letters that `collected` can check. */
  sendData(name, length) {
    return this.#page.evaluate(async ([name, length]) => {
      const producer = window.tureenTest.dataProducers[name];
      while (producer.readyState !== 'open') await new Promise((resolve) => setTimeout(resolve, 5));
      producer.send(window.tureenTest.letters(length));
    }, [name, length]);
  }

  /** Starts to collect messages of a data producer that another participant created by `produceData`. */
  collectData(name) {
    return this.#until(`hears ${name}`, () =>
      this.#page.evaluate((name) => {
        const heard = [...window.tureen.room.dataConsumers.values()].find(({ appData }) => appData.name === name);
        if (!heard) return false;
        window.tureenTest.collected = [];
        heard.on('message', (data) => {
          const intact = data === window.tureenTest.letters(data.length);
          window.tureenTest.collected.push({ type: typeof data, length: data.length, intact });
        });
        return true;
      }, name),
    );
  }

  /** Opens so many data channels, some at a time, and closes each after it was opened. */
  openAndClose(count, atATime) {
    return this.#page.evaluate(async ([count, atATime]) => {
      const { sendTransport } = window.tureen.room;
      const opened = (producer) =>
        new Promise((resolve) => (producer.readyState === 'open' ? resolve() : producer.on('open', resolve)));
      for (let done = 0; done < count; done += atATime) {
        const producers = await Promise.all(
          Array.from({ length: atATime }, () => sendTransport.produceData({ label: 'short-lived' })),
        );
        await Promise.all(producers.map(opened));
        for (const producer of producers) producer.close();
      }
    }, [count, atATime]);
  }

  collected() {
    return this.#page.evaluate(() => window.tureenTest.collected);
  }

  /** Shares the screen by its button; the browser chooses the tab. */
  async share() {
    await this.#page.click('button[aria-label="Share your screen"]');
    await this.#page.waitForSelector('button[aria-label="Stop sharing your screen"]');
  }

  stopSharing() {
    return this.#page.click('button[aria-label="Stop sharing your screen"]');
  }

  /** Waits until nothing is shared by this side any more. */
  offersToShare() {
    return this.#page.waitForSelector('button[aria-label="Share your screen"]');
  }

  /** Waits for the tile of a screen: how large picture and tile are, and how the one goes into the other. */
  seesScreenOf(peer) {
    return this.#until(`sees the screen of ${peer}`, () =>
      this.#page.evaluate((label) => {
        const video = document.querySelector(`.tile[aria-label="${label}"] video`);
        if (!video?.videoHeight) return null;
        const { width, height } = video.getBoundingClientRect();
        const box = { width: Math.round(width), height: Math.round(height) };
        return { width: video.videoWidth, height: video.videoHeight, box, fit: getComputedStyle(video).objectFit };
      }, `Screen of ${peer}`),
    );
  }

  seesNoScreen() {
    return this.#until('sees no screen', async () => (await this.#page.locator('.tile.screen').count()) === 0);
  }

  /** How much the picture of a shared screen differs from a PNG: see `recorder.js`. */
  differenceOfScreen(peer, png) {
    return this.#page.evaluate(([label, png]) => {
      const video = document.querySelector(`.tile[aria-label="${label}"] video`);
      return window.tureenTest.difference(video, png);
    }, [`Screen of ${peer}`, png]);
  }

  /** The tiles on the stage, in order: `[{ label, large }]`. */
  tiles() {
    return this.#page.evaluate(() =>
      [...document.querySelectorAll('.tile')].map((tile) => ({
        label: tile.ariaLabel,
        large: tile.classList.contains('large'),
      })),
    );
  }

  /** The videos of others on the stage: `[{ consumerId, peer }]`. */
  shownVideos() {
    return this.#page.evaluate(() => {
      const { consumers, peers } = window.tureen.room;
      const shown = [...document.querySelectorAll('.tile video')].map(({ srcObject }) => srcObject?.getVideoTracks()[0]);
      return [...consumers.values()]
        .filter(({ track }) => shown.includes(track))
        .map(({ id, appData }) => ({ consumerId: id, peer: peers.get(appData.peerId)?.displayName }));
    });
  }

  clicksTile(name) {
    return this.#page.click(`.tile[aria-label^="${name}"] .video`);
  }

  /** Presses a key on the control of that label. */
  presses(label, key) {
    return this.#page.press(`[aria-label="${label}"]`, key);
  }

  turnsPage(label) {
    return this.#page.click(`button[aria-label="${label}"]`);
  }

  /** Sends a further video with this app data, as another client may. */
  produceVideo(appData) {
    return this.#page.evaluate(async (appData) => {
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = [640, 360];
      const context = canvas.getContext('2d');
      const [track] = canvas.captureStream(10).getVideoTracks();
      setInterval(() => context.fillRect(Math.random() * 600, 0, 9, 360), 100);
      window.tureenTest.further = await window.tureen.room.sendTransport.produce({ track, appData });
    }, appData);
  }

  /** Takes back what `produceVideo` made. */
  async closeVideo() {
    const producerId = await this.#page.evaluate(() => {
      window.tureenTest.further.close();
      return window.tureenTest.further.id;
    });
    await this.request('closeProducer', { producerId });
  }

  resize(width, height) {
    return this.#page.setViewportSize({ width, height });
  }

  /** Simulates that the page is in the background, or not. */
  setHidden(hidden) {
    return this.#page.evaluate((hidden) => {
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
  }

  /** Waits until audio of `peer` is received. */
  hears(peer) {
    return this.#until(`hears ${peer}`, async () => {
      const audio = await this.receivedFrom(peer, 'audio');
      return audio?.audioEnergy > 0;
    });
  }

  /** Waits until the tile marked as speaking is that of `name`; null waits until there is none. */
  marksAsSpeaking(name) {
    return this.#until(`marks ${name ?? 'nobody'} as speaking`, async () => {
      const labels = await this.#page.evaluate(() =>
        [...document.querySelectorAll('.tile.speaking')].map((tile) => tile.ariaLabel),
      );
      return name === null ? labels.length === 0 : labels.length === 1 && labels[0].startsWith(name);
    });
  }

  /**
   * Milliseconds from navigation, from the click on Join in the lobby and from the join request to the first video
   * frame of another participant on the screen; and true if the first consumer was announced before the click.
   */
  async timeToFirstFrame() {
    return this.#until('sees a picture', () =>
      this.#page.evaluate(() => {
        const { consumerAnnounced, joinClicked, joinRequested, firstFrame } = window.tureenTest.timeline;
        if (firstFrame === null) return null;
        return {
          fromNavigation: Math.round(firstFrame),
          fromClick: joinClicked === null ? null : Math.round(firstFrame - joinClicked),
          fromJoin: Math.round(firstFrame - joinRequested),
          announcedAhead: joinClicked !== null && consumerAnnounced < joinClicked,
        };
      }),
    );
  }

  /** Milliseconds from the join request to the first video frame of `peer` on the screen. */
  timeToFirstFrameOf(peer) {
    return this.#until(`sees ${peer}'s first picture`, () =>
      this.#page.evaluate((peer) => window.tureenTest.timeToFirstFrameOf(peer), peer),
    );
  }

  /** Ids on the server of this participant's transports and, by source, of its producers. */
  ids(sources = ['mic', 'camera']) {
    return this.#until(`sends ${sources.join(' and ')}`, () =>
      this.#page.evaluate((sources) => {
        const { sendTransport, recvTransport, producers } = window.tureen?.room ?? {};
        const ids = sources.map((source) => [source, producers?.get(source)?.id]);
        if (!ids.every(([, id]) => id)) return null;
        return { sendTransport: sendTransport.id, recvTransport: recvTransport.id, ...Object.fromEntries(ids) };
      }, sources),
    );
  }

  /** Sends a signalling request as this peer. */
  request(method, data) {
    return this.#page.evaluate(([method, data]) => window.tureenTest.request(method, data), [
      method,
      data,
    ]);
  }

  #until(what, ask, limits = {}) {
    return until(`${this.name} ${what}`, ask, { explain: () => this.report(), ...limits });
  }

  assertNoErrors() {
    assert.deepEqual(this.#errors, [], `${this.name}'s console`);
  }
}
