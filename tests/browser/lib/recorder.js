/**
 * Runs in every page before the web app. It stores the signalling socket, so that a test can send requests as this
 * peer, and records times of events.
 */
export function recorder() {
  const timeline = { consumerAnnounced: null, joinClicked: null, joinRequested: null, firstFrame: null };
  const firstFrames = new Map();
  const answers = new Map();
  let socket = null;
  let lastId = 0x7000_0000;

  window.WebSocket = class extends WebSocket {
    constructor(...parameters) {
      super(...parameters);
      socket = this;
      this.addEventListener('message', ({ data }) => {
        const message = JSON.parse(data);
        if (message.method === 'newConsumer') timeline.consumerAnnounced ??= performance.now();
        const answer = message.response && answers.get(message.id);
        if (!answer) return;
        answers.delete(message.id);
        if (message.ok) answer.resolve(message.data);
        else answer.reject(new Error(`${message.errorCode}: ${message.errorReason}`));
      });
    }

    send(data) {
      if (timeline.joinRequested === null && /"method":"join"/.test(data)) {
        timeline.joinRequested = performance.now();
      }
      super.send(data);
    }
  };

  addEventListener('submit', () => (timeline.joinClicked ??= performance.now()), { capture: true });

  // Every video element reports its first frame, because polling statistics would slow the page down.
  const { get, set } = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, 'srcObject');
  Object.defineProperty(HTMLMediaElement.prototype, 'srcObject', {
    configurable: true,
    get,
    set(stream) {
      set.call(this, stream);
      const track = stream?.getVideoTracks()[0];
      if (track) this.requestVideoFrameCallback?.((now) => onPicture(track, now));
    },
  });

  function onPicture(track, now) {
    const received = [...(window.tureen?.room.consumers.values() ?? [])];
    if (!received.some((consumer) => consumer.track === track)) return;
    timeline.firstFrame ??= now;
    firstFrames.set(track, now);
  }

  /** Milliseconds from the join request to the first video frame of a peer; null before it. */
  function timeToFirstFrameOf(peer) {
    const track = video(peer)?.consumer.track;
    return firstFrames.has(track) ? firstFrames.get(track) - timeline.joinRequested : null;
  }

  /** Video element in the tile of a peer, and its consumer. */
  function video(peer) {
    const tiles = [...document.querySelectorAll('.tile')];
    const element = tiles.find(({ ariaLabel }) => ariaLabel.startsWith(peer))?.querySelector('video');
    const track = element?.srcObject?.getVideoTracks()[0];
    const consumer = [...window.tureen.room.consumers.values()].find((one) => one.track === track);
    return consumer && { element, consumer };
  }

  function switchLayer(peer, spatialLayer) {
    const { element, consumer } = video(peer);
    const before = element.videoHeight;
    const start = performance.now();
    const asked = window.tureenTest.request('setConsumerPreferredLayers', {
      consumerId: consumer.id,
      spatialLayer,
    });
    return new Promise((resolve, reject) => {
      asked.catch(reject);
      const look = (_, { height }) => {
        const ms = Math.round(performance.now() - start);
        if (height !== before || ms > 5000) resolve({ ms, lines: height });
        else element.requestVideoFrameCallback(look);
      };
      element.requestVideoFrameCallback(look);
    });
  }

  /** Starts to record the gaps between frames of a peer; the returned object is updated. */
  function watchPictures(peer) {
    const { element } = video(peer);
    const seen = { pictures: 0, longestGapMs: 0 };
    let last = performance.now();
    const look = (now) => {
      seen.pictures += 1;
      seen.longestGapMs = Math.max(seen.longestGapMs, now - last);
      last = now;
      element.requestVideoFrameCallback(look);
    };
    element.requestVideoFrameCallback(look);
    return seen;
  }

  /** ICE state of a transport in the browser: local user name fragment and selected pair. */
  async function ice(transport) {
    const stats = [...(await transport.getStats()).values()];
    const { iceLocalUsernameFragment, selectedCandidatePairId } = stats.find(({ type }) => type === 'transport');
    return { user: iceLocalUsernameFragment, pair: selectedCandidatePairId };
  }

  /** Restarts ICE, as a client does after a change of its network, and waits until another pair is selected. */
  async function restartIce(transport) {
    const before = await ice(transport);
    const iceParameters = await window.tureenTest.request('restartIce', { transportId: transport.id });
    await transport.restartIce({ iceParameters });
    for (;;) {
      const { user, pair } = await ice(transport);
      if (user !== before.user && pair !== before.pair) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** A text of so many letters, which differ by position. */
  function letters(length) {
    return Array.from({ length }, (_, index) => String.fromCharCode(97 + ((index * 7) % 26))).join('');
  }

  /**
   * How much a video differs from a PNG of its size: the mean difference of brightness, of 255; that of the PNG with half
   * its lines, which can no longer be read; and whether the corners of the video have the colour of those of the PNG.
   */
  async function difference(video, png) {
    const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
    const picture = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const { width, height } = picture;
    const pixelsOf = (source) => {
      const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
      context.drawImage(source, 0, 0, width, height);
      return context.getImageData(0, 0, width, height).data;
    };
    const half = new OffscreenCanvas(width / 2, height / 2);
    half.getContext('2d').drawImage(picture, 0, 0, width / 2, height / 2);
    const [seen, expected, halved] = [video, picture, half].map(pixelsOf);
    const brightness = (data, at) => 0.3 * data[at] + 0.59 * data[at + 1] + 0.11 * data[at + 2];
    const meanOf = (data) => {
      let sum = 0;
      for (let at = 0; at < data.length; at += 4) sum += Math.abs(brightness(data, at) - brightness(expected, at));
      return sum / (width * height);
    };
    const corners = [[8, 8], [width - 9, 8], [8, height - 9], [width - 9, height - 9]].map(([x, y]) => {
      const at = 4 * (y * width + x);
      return [0, 1, 2].every((channel) => Math.abs(seen[at + channel] - expected[at + channel]) < 40);
    });
    return { mean: meanOf(seen), halved: meanOf(halved), corners };
  }

  window.tureenTest = {
    difference,
    letters,
    timeline,
    video,
    timeToFirstFrameOf,
    switchLayer,
    watchPictures,
    restartIce,
    request(method, data) {
      const id = lastId++;
      const answer = new Promise((resolve, reject) => answers.set(id, { resolve, reject }));
      socket.send(JSON.stringify({ request: true, id, method, data }));
      return answer;
    },
  };
}
