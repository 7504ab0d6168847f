/** Client of a call by mediasoup's Node library, which runs in a page. `sfu` sends requests to node-sfu.cjs. */

import { Device } from 'mediasoup-client';

/** Client side of a call. */
class Party {
  #producers = new Map();
  #consumers = new Map();

  static async join() {
    const party = new Party();
    const device = (party.device = await Device.factory());
    await device.load({ routerRtpCapabilities: await sfu('capabilities') });
    party.sending = device.createSendTransport(await sfu('createTransport'));
    party.receiving = device.createRecvTransport(await sfu('createTransport'));
    for (const transport of [party.sending, party.receiving]) {
      transport.on('connect', ({ dtlsParameters }, done, failed) => {
        sfu('connect', { transportId: transport.id, dtlsParameters }).then(done, failed);
      });
    }
    party.sending.on('produce', ({ kind, rtpParameters }, done, failed) => {
      sfu('produce', { transportId: party.sending.id, kind, rtpParameters }).then((id) => done({ id }), failed);
    });
    return party;
  }

  /** Sends a fake microphone. Returns the producer's id. */
  async speak() {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    return this.#produce({ track: stream.getAudioTracks()[0] });
  }

  /** Sends a fake camera of 960 × 540 in three layers, all of them from the start. Returns the producer's id. */
  async show() {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 960, height: 540 } });
    const encodings = [[4, 100], [2, 400], [1, 1200]].map(([scaleResolutionDownBy, kbps]) => ({
      scaleResolutionDownBy,
      maxBitrate: kbps * 1000,
      scalabilityMode: 'L1T3',
    }));
    const codecOptions = { videoGoogleStartBitrate: 2000 };
    return this.#produce({ track: stream.getVideoTracks()[0], encodings, codecOptions, zeroRtpOnPause: true });
  }

  async #produce(options) {
    const producer = await this.sending.produce(options);
    this.#producers.set(producer.id, producer);
    return producer.id;
  }

  /** Applies the server's pause, resume or close to a producer of the page. */
  producer(id, method) {
    this.#producers.get(id)[method]();
  }

  /**
   * Receives a producer's media and records its frames; without transport-wide feedback if `rembOnly`. Returns the
   * consumer's id.
   */
  async watch(producerId, { rembOnly = false } = {}) {
    const { id: transportId } = this.receiving;
    const { recvRtpCapabilities } = this.device;
    const rtpCapabilities = rembOnly ? withoutTransportCc(recvRtpCapabilities) : recvRtpCapabilities;
    const options = await sfu('consume', { transportId, producerId, rtpCapabilities });
    if (rembOnly && sendsTransportCc(options)) throw new Error('transport-wide feedback was negotiated');
    const consumer = await this.receiving.consume(options);
    const element = document.body.appendChild(document.createElement(options.kind));
    element.srcObject = new MediaStream([consumer.track]);
    const pictures = [];
    const look = (now, { height }) => {
      pictures.push({ at: now, lines: height });
      element.requestVideoFrameCallback(look);
    };
    element.requestVideoFrameCallback?.(look);
    element.play();
    this.#consumers.set(consumer.id, { consumer, pictures });
    await this.resume(consumer.id);
    return consumer.id;
  }

  /** Resumes a consumer on the server and records the time. */
  async resume(id) {
    const entry = this.#consumers.get(id);
    entry.resumedAt = performance.now();
    await sfu('resumeConsumer', { id });
  }

  /** Current time of the clock of frames. */
  now() {
    return performance.now();
  }

  /** Frames of a consumer shown after a time, by default after it was resumed: `[{ ms, lines }]` since then. */
  pictures(id, since = this.#consumers.get(id).resumedAt) {
    const shown = this.#consumers.get(id).pictures.filter(({ at }) => at > since);
    return shown.map(({ at, lines }) => ({ ms: Math.round(at - since), lines }));
  }

  /** Audio energy of a consumer, and its number of received packets. */
  async sounds(id) {
    const stats = [...(await this.#consumers.get(id).consumer.getStats()).values()];
    const { totalAudioEnergy, packetsReceived } = stats.find(({ type }) => type === 'inbound-rtp') ?? {};
    return { energy: totalAudioEnergy ?? 0, packets: packetsReceived ?? 0 };
  }

  /** Closes a consumer whose producer has ended. */
  forget(id) {
    this.#consumers.get(id).consumer.close();
    this.#consumers.delete(id);
  }

  receivingId() {
    return this.receiving.id;
  }
}

const sendsTransportCc = ({ rtpParameters }) =>
  rtpParameters.headerExtensions.some(({ uri }) => uri.includes('transport-wide'));

/** Capabilities of a client that supports REMB and no transport-wide feedback. */
function withoutTransportCc({ codecs, headerExtensions, ...rest }) {
  return {
    ...rest,
    codecs: codecs.map((codec) => ({
      ...codec,
      rtcpFeedback: codec.rtcpFeedback.filter(({ type }) => type !== 'transport-cc'),
    })),
    headerExtensions: headerExtensions.filter(({ uri }) => !uri.includes('transport-wide')),
  };
}

Object.assign(window, { Party });
