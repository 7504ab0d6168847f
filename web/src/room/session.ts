/**
 * The media of one signalling connection: the mediasoup device, its two transports, what is sent
 * and what is received. When the connection goes, the session goes; the next one starts anew.
 */

import type { types } from 'mediasoup-client';
import type { SignalingConnection } from '../signaling/client';
import type { NewConsumerAnswer, ServerRequests } from '../signaling/protocol';
import { appDataOf, isShare } from './app-data';
import { Chat } from './chat';
import type { ChatHandlers } from './chat';
import { screenOptions, screenSoundOptions, soundOptions, videoOptions } from './codecs';
import type { VideoOptions } from './codecs';
import { loadDevice } from './device';
import { addressesOf, obstacleOf } from './obstacle';
import type { Obstacle } from './obstacle';
import type { MediaSource, SourceState } from './local-media';
import { SmoothVideo } from './smooth-video';
import { VideoDemand } from './video-demand';

export type TransportDirection = 'send' | 'recv';

export interface SessionHandlers extends ChatHandlers {
  onTransportState(direction: TransportDirection, state: types.ConnectionState): void;
  /** The server refuses to connect a transport. */
  onConnectFailed(error: unknown): void;
}

export interface SessionOptions {
  /** Media over TCP only. */
  forceTcp: boolean;
  /** Whether data channels are wanted. */
  data: boolean;
}

/** Consumers that are announced within this time are negotiated together: each negotiation takes longer than that. */
const GATHERING_MS = 5;

/** A picture that has been decoded is on the screen after this time, also where others are being set up. */
const SHOWING_MS = 100;

/** No server sends these. */
const SILENT_SSRCS = { audio: 1, video: 2 };

type NewConsumer = ServerRequests['newConsumer'];

/** What the server says of a consumer while the browser is still making it. */
interface PendingConsumer {
  peerId: string;
  closed: boolean;
  paused: boolean;
}

interface MadeConsumer {
  consumer: types.Consumer;
  paused: boolean;
  /** What the server is to be told. */
  answer: NewConsumerAnswer;
}

export class MediaSession {
  readonly consumers = new Map<string, types.Consumer>();
  readonly producers = new Map<MediaSource, types.Producer>();
  readonly device: types.Device;
  readonly sendTransport: types.Transport;
  readonly recvTransport: types.Transport;
  /** Transports that were connected at some time. */
  readonly wasConnected = new Set<TransportDirection>();
  readonly videoDemand: VideoDemand;
  readonly #smoothVideo = new SmoothVideo(this.consumers);
  /** Null where the server has no data channels. */
  readonly chat: Chat | null;

  readonly #connection: SignalingConnection;
  readonly #serverAddresses: string[];
  #ready = false;
  /** While announced consumers wait for others. */
  #gathering: Promise<void> | null = null;
  readonly #firstMedia: Promise<void>;
  #mediaHasCome = () => {};
  #hasMedia = false;
  readonly #pendingConsumers = new Map<string, PendingConsumer>();
  /** The end of the queue of changes to a source's producer. */
  readonly #syncing: Record<MediaSource, Promise<void>> = {
    mic: Promise.resolve(),
    camera: Promise.resolve(),
    screen: Promise.resolve(),
    screenSound: Promise.resolve(),
  };

  /** Loads the device and makes both transports; rejects if the browser or the server can't. */
  static async open(
    connection: SignalingConnection,
    handlers: SessionHandlers,
    { forceTcp, data }: SessionOptions,
  ): Promise<MediaSession> {
    const createTransport = (producing: boolean) =>
      connection.request('createWebRtcTransport', {
        forceTcp,
        producing,
        consuming: !producing,
        // That it is there says that SCTP is wanted; there is nothing to choose in it.
        ...(data ? { sctpCapabilities: {} } : {}),
      });
    // None of these needs the answer to another one.
    const [device, recvInfo, sendInfo] = await Promise.all([
      loadDevice(connection.request('getRouterRtpCapabilities', {})),
      createTransport(false),
      createTransport(true),
    ]);
    const session = new MediaSession(
      connection,
      device,
      device.createSendTransport(sendInfo),
      device.createRecvTransport(recvInfo),
      Boolean(sendInfo.sctpParameters && recvInfo.sctpParameters),
      addressesOf([...recvInfo.iceCandidates, ...sendInfo.iceCandidates]),
      handlers,
    );
    // It connects while the room is being joined. The consumers that are announced meanwhile are then negotiated
    // together, over a path that is ready.
    session.#consumeSilence('audio');
    return session;
  }

  private constructor(
    connection: SignalingConnection,
    device: types.Device,
    sendTransport: types.Transport,
    recvTransport: types.Transport,
    hasData: boolean,
    serverAddresses: string[],
    handlers: SessionHandlers,
  ) {
    this.#connection = connection;
    this.#firstMedia = new Promise((resolve) => {
      this.#mediaHasCome = () => {
        this.#hasMedia = true;
        resolve();
      };
    });
    this.#serverAddresses = serverAddresses;
    this.device = device;
    this.sendTransport = sendTransport;
    this.recvTransport = recvTransport;
    this.videoDemand = new VideoDemand((method, data) => connection.request(method, data));
    this.chat = hasData ? new Chat(connection, sendTransport, recvTransport, handlers) : null;
    this.#watch(sendTransport, handlers);
    this.#watch(recvTransport, handlers);
    sendTransport.on('produce', ({ kind, rtpParameters, appData }, done, failed) => {
      const transportId = sendTransport.id;
      connection.request('produce', { transportId, kind, rtpParameters, appData }).then(done, failed);
    });
  }

  /**
   * Does ahead what the first picture would have to wait for: mediasoup-client negotiates once more for the probes that
   * go with video. Not worth it once the room is being joined. Further calls do nothing.
   */
  getReady(): void {
    if (this.#ready) return;
    this.#ready = true;
    this.#consumeSilence('video');
  }

  /**
   * Makes the producer of a source follow the source: made, given another track, paused, resumed,
   * closed. Calls queue up, and each looks at `source()` only when it is its turn.
   */
  syncProducer(
    name: MediaSource,
    source: () => SourceState,
    video: VideoOptions,
  ): Promise<void> {
    const done = this.#syncing[name].then(() => this.#sync(name, source(), video));
    this.#syncing[name] = done.catch(() => {});
    return done;
  }

  /** Makes a consumer; null when the server closed it meanwhile. */
  async consume(request: NewConsumer): Promise<MadeConsumer | null> {
    const { id, peerId, producerId, kind, rtpParameters, appData, producerPaused } = request;
    const pending: PendingConsumer = { peerId, closed: false, paused: producerPaused };
    this.#pendingConsumers.set(id, pending);
    this.#gathering ??= new Promise((resolve) => {
      setTimeout(() => {
        this.#gathering = null;
        resolve();
      }, GATHERING_MS);
    });
    try {
      await this.#gathering;
      const consumer = await this.recvTransport.consume({
        id,
        producerId,
        kind,
        rtpParameters,
        // One stream for the tracks of a peer's microphone and camera keeps the lips in sync.
        streamId: `${peerId}-${isShare(appData) ? 'share' : 'main'}`,
        appData: { ...appData, peerId },
      });
      if (pending.closed) {
        consumer.close();
        return null;
      }
      if (pending.paused) consumer.pause();
      this.#awaitMedia(consumer.track);
      this.consumers.set(id, consumer);
      const answer: NewConsumerAnswer = {};
      if (kind === 'video') {
        const scalabilityMode = rtpParameters.encodings?.[0]?.scalabilityMode;
        answer.preferredLayers = this.videoDemand.add(id, scalabilityMode, appData['height'], isShare(appData));
      }
      return { consumer, paused: pending.paused, answer };
    } finally {
      this.#pendingConsumers.delete(id);
    }
  }

  /** Resolves when the first picture is coming, or the first sound of a room without, at the latest after `limitMs`. */
  receiving(limitMs: number): Promise<void> {
    const limit = new Promise<void>((resolve) => setTimeout(resolve, limitMs));
    return Promise.race([this.#firstMedia, limit]);
  }

  /** What keeps the media of a transport that failed from the server. */
  async obstacle(direction: TransportDirection): Promise<Obstacle> {
    const transport = direction === 'send' ? this.sendTransport : this.recvTransport;
    const stats = await transport.getStats();
    return obstacleOf(stats.values() as Iterable<{ type: string }>, this.#serverAddresses);
  }

  setConsumerPaused(id: string, paused: boolean): void {
    const pending = this.#pendingConsumers.get(id);
    if (pending) pending.paused = paused;
    const consumer = this.consumers.get(id);
    if (paused) consumer?.pause();
    else consumer?.resume();
  }

  closeConsumer(id: string): void {
    const pending = this.#pendingConsumers.get(id);
    if (pending) pending.closed = true;
    this.consumers.get(id)?.close();
    this.consumers.delete(id);
    this.videoDemand.remove(id);
  }

  closeConsumersOf(peerId: string): void {
    for (const pending of this.#pendingConsumers.values()) {
      if (pending.peerId === peerId) pending.closed = true;
    }
    for (const [id, consumer] of this.consumers) {
      if (consumer.appData['peerId'] === peerId) this.closeConsumer(id);
    }
  }

  close(): void {
    this.videoDemand.close();
    this.#smoothVideo.close();
    this.sendTransport.close();
    this.recvTransport.close();
    this.consumers.clear();
    this.producers.clear();
  }

  /**
   * Adds a media section to the receiving transport that stays silent. A browser connects with the first one that it
   * gets, and takes its time to set up the first one of a kind.
   */
  #consumeSilence(wanted: types.MediaKind): void {
    const { codecs, headerExtensions } = this.device.recvRtpCapabilities;
    const codec = codecs?.find(({ kind }) => kind === wanted);
    if (!codec?.preferredPayloadType) return;
    const { kind, preferredPayloadType: payloadType, rtcpFeedback, ...rest } = codec;
    const id = `silence-${kind}`;
    const rtpParameters: types.RtpParameters = {
      mid: id,
      codecs: [{ ...rest, payloadType, rtcpFeedback: rtcpFeedback?.filter(({ type }) => type !== 'goog-remb') }],
      headerExtensions: headerExtensions
        ?.filter((extension) => extension.kind === kind)
        .map(({ uri, preferredId }) => ({ uri, id: preferredId })),
      encodings: [{ ssrc: SILENT_SSRCS[kind] }],
      rtcp: { cname: 'silence' },
    };
    this.recvTransport
      .consume({ id, producerId: id, kind, rtpParameters })
      // Consumers meet the same obstacle, and their failure is reported.
      .catch((error: unknown) => console.warn('getting ready for media failed', error));
  }

  #awaitMedia(track: MediaStreamTrack): void {
    if (this.#hasMedia) return;
    if (track.kind === 'video') {
      void firstPicture(track).then(() => setTimeout(this.#mediaHasCome, SHOWING_MS));
    } else {
      track.addEventListener('unmute', () => {
        if ([...this.consumers.values()].every(({ kind }) => kind === 'audio')) this.#mediaHasCome();
      });
    }
  }

  #watch(transport: types.Transport, handlers: SessionHandlers): void {
    transport.on('connect', ({ dtlsParameters }, done) => {
      const transportId = transport.id;
      this.#connection
        .request('connectWebRtcTransport', { transportId, dtlsParameters })
        .catch((error: unknown) => handlers.onConnectFailed(error));
      // ICE need not wait for the answer: the server has our fingerprint before DTLS begins.
      done();
    });
    transport.on('connectionstatechange', (state) => {
      handlers.onTransportState(transport.direction, state);
      if (state === 'disconnected') void this.#restartIce(transport);
    });
  }

  async #restartIce(transport: types.Transport): Promise<void> {
    try {
      const iceParameters = await this.#connection.request('restartIce', {
        transportId: transport.id,
      });
      if (!transport.closed) await transport.restartIce({ iceParameters });
    } catch (error) {
      // Either signalling is gone too, and the room is about to be rejoined, or the transport goes
      // on to `failed`, with the same result.
      console.warn('ICE restart failed', error);
    }
  }

  /** The source of a producer, if it has one still. */
  sourceOf(producerId: string): MediaSource | null {
    const found = [...this.producers].find(([, producer]) => producer.id === producerId);
    return found ? found[0] : null;
  }

  /** Closes a producer that the server has closed. */
  closeProducer(producerId: string): void {
    const name = this.sourceOf(producerId);
    if (name === null) return;
    this.producers.get(name)?.close();
    this.producers.delete(name);
  }

  async #sync(name: MediaSource, source: SourceState, video: VideoOptions): Promise<void> {
    // While a device is being opened, what was sent before stays.
    if (this.sendTransport.closed || source.starting) return;
    let producer = this.producers.get(name);
    if (producer && (!source.track || isOfOtherSize(producer, name, source.track))) {
      await this.#closeProducer(name, producer);
      producer = undefined;
    }
    if (!source.track) return;
    if (!producer) {
      // A muted microphone is not offered before its first use.
      if (!source.enabled) return;
      producer = await this.sendTransport.produce({
        track: source.track,
        // The tracks belong to LocalMedia.
        stopTracks: false,
        disableTrackOnPause: false,
        ...this.#optionsFor(name, source.track, video),
      });
      this.producers.set(name, producer);
    } else if (producer.track !== source.track) {
      await producer.replaceTrack({ track: source.track });
    }
    await this.#setProducerPaused(producer, !source.enabled);
  }

  #optionsFor(
    name: MediaSource,
    track: MediaStreamTrack,
    video: VideoOptions,
  ): types.ProducerOptions {
    const { height = 0 } = track.getSettings();
    const { sendRtpCapabilities } = this.device;
    switch (name) {
      case 'mic':
        return { appData: appDataOf(name), ...soundOptions() };
      case 'camera':
        return { appData: appDataOf(name, height), ...videoOptions(video, height, sendRtpCapabilities) };
      case 'screen':
        return { appData: appDataOf(name, height), ...screenOptions(video, sendRtpCapabilities) };
      case 'screenSound':
        return { appData: appDataOf(name), ...screenSoundOptions() };
    }
  }

  async #setProducerPaused(producer: types.Producer, paused: boolean): Promise<void> {
    if (producer.paused === paused) return;
    const producerId = producer.id;
    if (paused) {
      producer.pause();
      await this.#connection.request('pauseProducer', { producerId });
    } else {
      producer.resume();
      try {
        await this.#connection.request('resumeProducer', { producerId });
      } catch (error) {
        // A moderator has muted it: the next attempt must ask again.
        producer.pause();
        throw error;
      }
    }
  }

  async #closeProducer(name: MediaSource, producer: types.Producer): Promise<void> {
    this.producers.delete(name);
    producer.close();
    await this.#connection.request('closeProducer', { producerId: producer.id });
  }
}

/** Receivers choose layers by the height that they were told, and the encodings are made for it. */
function isOfOtherSize(producer: types.Producer, name: MediaSource, track: MediaStreamTrack): boolean {
  const { height } = track.getSettings();
  return name === 'camera' && producer.track !== track && producer.appData['height'] !== height;
}

/** Resolves when a track has a picture to show. It says that it is no longer muted long before that. */
function firstPicture(track: MediaStreamTrack): Promise<void> {
  const video = document.createElement('video');
  video.muted = true;
  video.srcObject = new MediaStream([track]);
  return new Promise((resolve) => {
    const done = () => {
      video.srcObject = null;
      resolve();
    };
    video.addEventListener('loadeddata', done, { once: true });
    track.addEventListener('ended', done, { once: true });
  });
}
