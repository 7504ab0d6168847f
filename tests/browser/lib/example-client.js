/** Client of the examples in `crates/tureen/examples`, which runs in a page and uses mediasoup-client. */

import { Device } from 'mediasoup-client';

/** Chromium's codec parameters for the surround sound of `multiopus.rs`. */
const SURROUND = {
  rtpmap: 'multiopus/48000/6',
  fmtp: 'channel_mapping=0,4,1,2,3,5;coupled_streams=2;num_streams=4',
};

/** A connection to an example, and its transports. */
class Client {
  /** Messages of the server that the test has not read yet, in order. */
  events = [];
  consumers = [];
  #socket;
  /** Pending waits for the next message of an action. */
  #waiting = [];

  static async connect(url) {
    const client = new Client();
    const begun = client.#next('Init');
    client.#socket = new WebSocket(url);
    client.#socket.addEventListener('message', ({ data }) => client.#take(JSON.parse(data)));
    const init = await begun;
    client.device = await Device.factory();
    await client.device.load({ routerRtpCapabilities: init.routerRtpCapabilities });
    client.#send({ action: 'Init', rtpCapabilities: client.device.recvRtpCapabilities });
    client.sendTransport = client.device.createSendTransport(init.producerTransportOptions);
    client.recvTransport = client.device.createRecvTransport(init.consumerTransportOptions);
    client.#connects(client.sendTransport, 'Producer');
    client.#connects(client.recvTransport, 'Consumer');
    client.sendTransport.on('produce', ({ kind, rtpParameters }, done, failed) => {
      client.#request({ action: 'Produce', kind, rtpParameters }, 'Produced').then(done, failed);
    });
    return client;
  }

  /** Sends fake media; options are those of mediasoup-client. Returns the producer's id. */
  async produce(kind, options = {}) {
    // The smallest video for which Chromium sends three layers from the start.
    const constraints = kind === 'video' ? { video: { width: 960, height: 540 } } : { audio: true };
    const codecOptions = { videoGoogleStartBitrate: 1500 };
    const stream = await navigator.mediaDevices.getUserMedia(constraints);
    const [track] = stream.getTracks();
    return (await this.sendTransport.produce({ track, codecOptions, ...options })).id;
  }

  /** Receives a producer's media. Returns the consumer's id. */
  async consume(producerId) {
    const asked = await this.#request({ action: 'Consume', producerId }, 'Consumed');
    const { id, kind, rtpParameters } = asked;
    const consumer = await this.recvTransport.consume({ id, producerId, kind, rtpParameters });
    this.consumers.push(consumer);
    // Media is decoded only if an element plays it.
    const element = document.body.appendChild(document.createElement(kind));
    element.srcObject = new MediaStream([consumer.track]);
    await Promise.all([element.play(), this.#send({ action: 'ConsumerResume', id })]);
    return id;
  }

  setPreferredLayers(id, preferredLayers) {
    this.#send({ action: 'ConsumerSetPreferredLayers', id, preferredLayers });
  }

  /** Received media of a consumer: `{ codec, frames, lines, energy }`. */
  async received(id) {
    const consumer = this.consumers.find((one) => one.id === id);
    const stats = [...(await consumer.getStats()).values()];
    const inbound = stats.find(({ type }) => type === 'inbound-rtp') ?? {};
    return {
      codec: stats.find((entry) => entry.id === inbound.codecId)?.mimeType.toLowerCase(),
      frames: inbound.framesDecoded ?? 0,
      lines: inbound.frameHeight ?? 0,
      energy: inbound.totalAudioEnergy ?? 0,
    };
  }

  close() {
    this.#socket.close();
  }

  #connects(transport, name) {
    transport.on('connect', ({ dtlsParameters }, done, failed) => {
      const request = { action: `Connect${name}Transport`, dtlsParameters };
      this.#request(request, `Connected${name}Transport`).then(done, failed);
    });
  }

  #request(request, answer) {
    this.#send(request);
    return this.#next(answer);
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  #next(action) {
    return new Promise((resolve) => this.#waiting.push({ action, resolve }));
  }

  #take(message) {
    const at = this.#waiting.findIndex(({ action }) => action === message.action);
    if (at < 0) this.events.push(message);
    else this.#waiting.splice(at, 1)[0].resolve(message);
  }
}

/**
 * Makes Chromium negotiate surround sound, which it can decode but does not list: adds the codec to its offers, and to
 * its answers if they reject it.
 */
function decodeSurround() {
  const { createOffer, createAnswer } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.createOffer = async function (...parameters) {
    const { type, sdp } = await createOffer.apply(this, parameters);
    const payloadType = [...Array(32).keys()].map((n) => n + 96).find((n) => !sdp.includes(`a=rtpmap:${n} `));
    const added = sdp.replace(/(m=audio [^\r]*)([^]*?)(?=m=|$)/, `$1 ${payloadType}$2${codec(payloadType)}`);
    return { type, sdp: added };
  };
  RTCPeerConnection.prototype.createAnswer = async function (...parameters) {
    const { type, sdp } = await createAnswer.apply(this, parameters);
    const payloadType = this.remoteDescription.sdp.match(/a=rtpmap:(\d+) multiopus/)?.[1];
    if (!payloadType) return { type, sdp };
    const mid = sdp.match(/m=audio 0[^]*?a=mid:(\S+)/)?.[1];
    const taken = sdp
      .replace(/(m=audio )0 (\S+) 0([^]*?)(?=m=|$)/, `$19 $2 ${payloadType}$3${codec(payloadType)}`)
      .replace(/a=group:BUNDLE[^\r]*/, `$& ${mid}`);
    return { type, sdp: taken };
  };
  const codec = (payloadType) => `a=rtpmap:${payloadType} ${SURROUND.rtpmap}\r\na=fmtp:${payloadType} ${SURROUND.fmtp}\r\n`;
}

Object.assign(window, { Client, decodeSurround });
