/**
 * A participant of one room: connects, joins when told to, keeps the room's state current, sends what
 * LocalMedia has, and comes back by itself after a loss. Start reading here; `session.ts` has the media
 * and `state.ts` what the UI shows.
 */

import type { types } from 'mediasoup-client';
import { whyRefused } from '../access';
import { ConnectionLostError, SignalingClient, signalingUrl } from '../signaling/client';
import type { SignalingConnection } from '../signaling/client';
import type { ServerNotification, ServerRequest } from '../signaling/protocol';
import { isShare } from './app-data';
import type { Recipient } from './chat';
import type { VideoOptions } from './codecs';
import { askBrowser } from './device';
import { describeBrowser } from './device-info';
import { SOURCES } from './local-media';
import type { LocalMedia, MediaSource } from './local-media';
import { Rejoining } from './rejoin';
import { MediaSession } from './session';
import type { SessionHandlers, SessionOptions, TransportDirection } from './session';
import type { Reaction, Signal } from './signals';
import { initialRoomState, reduce } from './state';
import type { EndReason, RoomEvent, RoomState } from './state';
import { Store } from './store';
import type { ReadableStore } from './store';

export interface RoomOptions {
  /** The server's origin: `https://host:port`. */
  origin: string;
  roomId: string;
  peerId: string;
  /** Lets the peer in where the server asks for one. */
  accessToken: string | null;
  video: VideoOptions;
  session: SessionOptions;
  media: LocalMedia;
  /** With how many lines (device pixels) a video will be shown in a call with so many others. */
  linesAmong: (peers: number) => number;
}

/** How often a hand that is up is told of again, for those who have come meanwhile. */
const HAND_REPEATED_MS = 4000;

/** Media that has not come about after this time is taken for blocked, until it comes. */
const SLOW_MEDIA_MS = 6000;

/** How long a joiner's own camera and microphone wait for the media of those who were there first. */
const LISTEN_FIRST_MS = 500;

export class RoomClient {
  readonly roomId: string;
  readonly peerId: string;

  readonly #options: RoomOptions;
  readonly #store = new Store<RoomState>(initialRoomState);
  readonly #signaling: SignalingClient;
  readonly #stopWatchingMedia: () => void;
  #session: MediaSession | null = null;
  /** Settled by `join`. */
  readonly #displayName: Promise<string>;
  #setDisplayName: (displayName: string) => void = () => {};
  #joining = false;
  #joinedOnce = false;
  /** Whether this side's media may be sent yet in this session. */
  #maySend = false;
  readonly #rejoining = new Rejoining();
  #rejoinTimer: ReturnType<typeof setTimeout> | undefined;
  #slowMediaTimer: ReturnType<typeof setTimeout> | undefined;
  #handTimer: ReturnType<typeof setInterval> | undefined;
  /** See `expectVideo`. */
  #expectedLines = Infinity;
  /** Whose media has been announced before this side has joined. */
  readonly #announcedPeers = new Set<string>();

  /**
   * Connects at once, media included, so that joining takes no longer than it must. Nobody in the room hears of it
   * before `join`.
   */
  constructor(options: RoomOptions) {
    this.roomId = options.roomId;
    this.peerId = options.peerId;
    this.#options = options;
    this.#displayName = new Promise((resolve) => {
      this.#setDisplayName = resolve;
    });
    void askBrowser();
    this.#stopWatchingMedia = options.media.state.subscribe(() => this.#syncProducers());
    this.#signaling = new SignalingClient(
      signalingUrl(options.origin, options.roomId, options.peerId, options.accessToken),
      {
        onOpen: (connection) => void this.#enter(connection),
        onAttemptFailed: (attempt) => {
          this.#dispatch({ type: 'attemptFailed', attempt });
          if (attempt === 1) void this.#endIfRefused();
        },
        onLost: () => this.#lost(),
        onReplaced: () => this.#end({ why: 'replaced' }),
        onRequest: (request) => this.#handleRequest(request),
        onNotification: (notification) => this.#handleNotification(notification),
      },
    );
  }

  get state(): ReadableStore<RoomState> {
    return this.#store;
  }

  /** The mediasoup-client consumers by id, each with `getStats()`. Empty while not joined. */
  get consumers(): ReadonlyMap<string, types.Consumer> {
    return this.#session?.consumers ?? new Map();
  }

  /** The mediasoup-client producers by source (`mic`, `camera`). Empty while not joined. */
  get producers(): ReadonlyMap<MediaSource, types.Producer> {
    return this.#session?.producers ?? new Map();
  }

  /** The mediasoup-client data consumers by id. Empty while not joined. */
  get dataConsumers(): ReadonlyMap<string, types.DataConsumer> {
    return this.#session?.chat?.consumers ?? new Map();
  }

  /** The other peers by id. */
  get peers(): RoomState['peers'] {
    return this.#store.get().peers;
  }

  get sendTransport(): types.Transport | null {
    return this.#session?.sendTransport ?? null;
  }

  get recvTransport(): types.Transport | null {
    return this.#session?.recvTransport ?? null;
  }

  /** Joins the room, as soon as there is a connection; `state` tells how it goes. Further calls do nothing. */
  join(displayName: string): void {
    this.#joining = true;
    this.#setDisplayName(displayName);
  }

  /** Tells with how many lines (device pixels) a video will probably be shown that comes now. */
  expectVideo(lines: number): void {
    this.#expectedLines = lines;
    this.#session?.videoDemand.expect(lines);
  }

  /** Tells with how many lines (device pixels) a video is shown, null for out of sight. */
  showVideo(consumerId: string, lines: number | null): void {
    this.#session?.videoDemand.show(consumerId, lines);
  }

  /** Says something to everybody, or to the room's bot; false while that is not possible. */
  say(to: Recipient, text: string): boolean {
    const said = this.#session?.chat?.send(to, text) ?? false;
    if (said) this.#addMessage(this.peerId, to === 'bot' ? `@bot ${text}` : text);
    return said;
  }

  /** Raises this side's hand, or takes it down. */
  raiseHand(up: boolean): void {
    clearInterval(this.#handTimer);
    const since = Date.now();
    const tell = () => {
      const signal: Signal = { type: 'hand', upMs: up ? Date.now() - since : null };
      this.#session?.chat?.signal(signal);
      this.#dispatch({ type: 'signal', peerId: this.peerId, signal, at: Date.now() });
    };
    tell();
    if (up) this.#handTimer = setInterval(tell, HAND_REPEATED_MS);
  }

  react(reaction: Reaction): void {
    const signal: Signal = { type: 'reaction', reaction };
    this.#session?.chat?.signal(signal);
    this.#dispatch({ type: 'signal', peerId: this.peerId, signal, at: Date.now() });
  }

  leave(): void {
    const stale = [...this.peers.values()].filter((peer) => peer.stale).length;
    this.#end({ why: 'left', others: this.peers.size - stale });
  }

  /** Ends where the server says that it never lets this peer in: further attempts would be in vain. */
  async #endIfRefused(): Promise<void> {
    const { origin, roomId, accessToken } = this.#options;
    const message = await whyRefused(origin, roomId, accessToken);
    if (message !== null) this.#end({ why: 'failed', message });
  }

  async #enter(connection: SignalingConnection): Promise<void> {
    this.#announcedPeers.clear();
    try {
      const handlers: SessionHandlers = {
        onTransportState: (direction, state) => {
          if (this.#session !== session) return;
          this.#dispatch({ type: 'transportState', direction, state });
          if (state === 'connecting') this.#explainSlowMedia(session);
          if (state === 'connected') {
            this.#rejoining.connected(performance.now());
            session.wasConnected.add(direction);
            if (!this.#joining) session.getReady();
          }
          if (state === 'failed') void this.#mediaFailed(session, direction);
        },
        onConnectFailed: (error) => {
          if (this.#session === session) this.#enteringFailed(error);
        },
        onOpen: (open) => {
          if (this.#session === session) this.#dispatch({ type: 'chatOpen', open });
        },
        onMessage: (peerId, text) => this.#addMessage(peerId, text),
        onSignal: (peerId, signal) => this.#dispatch({ type: 'signal', peerId, signal, at: Date.now() }),
      };
      const session = await MediaSession.open(connection, handlers, this.#options.session);
      if (connection.lost) return session.close();
      this.#session = session;
      session.videoDemand.expect(this.#expectedLines);
      this.#maySend = false;
      if (!this.#joining) void this.#prepare(connection, session);
      const displayName = await this.#displayName;
      if (this.#session !== session) return;
      const { peers } = await connection.request('join', {
        displayName,
        device: describeBrowser(navigator.userAgent),
        rtpCapabilities: session.device.recvRtpCapabilities,
        ...(session.chat ? { sctpCapabilities: {} } : {}),
      });
      if (connection.lost) return;
      this.#joinedOnce = true;
      session.videoDemand.begin();
      this.#dispatch({ type: 'joined', peers });
      // Browsers set up one connection after the other, and a joiner wants to see before being seen.
      if (peers.length > 0) await session.receiving(LISTEN_FIRST_MS);
      if (this.#session !== session) return;
      this.#maySend = true;
      this.#syncProducers();
      await session.chat?.open();
    } catch (error) {
      this.#enteringFailed(error);
    }
  }

  /** Lets consumers be made while the user is still in the lobby: negotiating them takes longest of all. */
  async #prepare(connection: SignalingConnection, session: MediaSession): Promise<void> {
    try {
      await connection.request('prepare', { rtpCapabilities: session.device.recvRtpCapabilities });
    } catch (error) {
      // The user has joined meanwhile, or the connection is gone.
      console.debug('preparing failed', error);
    }
  }

  #enteringFailed(error: unknown): void {
    if (error instanceof ConnectionLostError) return;
    console.error('joining failed', error);
    if (error instanceof Error && error.name === 'UnsupportedError') {
      this.#end({ why: 'unsupported-browser' });
    } else if (this.#joinedOnce) {
      this.#rejoin();
    } else {
      this.#end({ why: 'failed', message: messageOf(error) });
    }
  }

  /** Gives what is to be answered, if anything. */
  async #handleRequest({ method, data }: ServerRequest): Promise<object | undefined> {
    const session = this.#session;
    if (!session) throw new Error('not joined');
    if (method === 'newDataConsumer') {
      if (!session.chat) throw new Error('no data channels');
      // Its negotiation would come before those of the first pictures.
      await session.receiving(LISTEN_FIRST_MS);
      await session.chat.consume(data);
      return undefined;
    }
    if (this.#store.get().phase.name === 'connecting') {
      this.#announcedPeers.add(data.peerId);
      this.expectVideo(this.#options.linesAmong(this.#announcedPeers.size));
    }
    const made = await session.consume(data);
    if (!made || this.#session !== session) return undefined;
    this.#dispatch({
      type: 'consumerAdded',
      consumer: {
        id: data.id,
        peerId: data.peerId,
        producerId: data.producerId,
        kind: data.kind,
        type: data.type,
        share: isShare(data.appData),
        track: made.consumer.track,
        paused: made.paused,
      },
    });
    return made.answer;
  }

  #handleNotification(notification: ServerNotification): void {
    switch (notification.method) {
      case 'consumerClosed':
        this.#session?.closeConsumer(notification.data.consumerId);
        break;
      case 'consumerPaused':
        this.#session?.setConsumerPaused(notification.data.consumerId, true);
        break;
      case 'consumerResumed':
        this.#session?.setConsumerPaused(notification.data.consumerId, false);
        break;
      case 'producerClosed':
        this.#session?.closeProducer(notification.data.producerId);
        // Where it may not be sent any more the next attempt says so.
        this.#syncProducers();
        break;
      case 'permissionsChanged':
        this.#syncProducers();
        break;
      case 'producerMuted': {
        const source = this.#session?.sourceOf(notification.data.producerId);
        if (source === 'mic' || source === 'camera') {
          void this.#options.media.setEnabled(source, false);
        } else if (source) {
          this.#options.media.stopSharing();
        }
        break;
      }
      case 'removedFromRoom':
        return this.#end({ why: 'failed', message: 'a moderator has removed you from the room' });
      case 'dataConsumerClosed':
        this.#session?.chat?.closeConsumer(notification.data.dataConsumerId);
        break;
      case 'peerClosed':
        this.#session?.closeConsumersOf(notification.data.peerId);
        break;
    }
    this.#dispatch({ type: 'notification', notification });
  }

  #addMessage(peerId: string | null, text: string): void {
    this.#dispatch({ type: 'message', peerId, text, at: Date.now() });
  }

  #syncProducers(): void {
    const session = this.#session;
    if (!session || !this.#maySend || this.#store.get().phase.name !== 'joined') return;
    for (const name of SOURCES) {
      const source = () => this.#options.media.state.get()[name];
      session.syncProducer(name, source, this.#options.video).then(
        () => this.#dispatch({ type: 'sendError', source: name, message: null }),
        (error: unknown) => {
          if (this.#session !== session || error instanceof ConnectionLostError) return;
          console.error(`sending ${name} failed`, error);
          this.#dispatch({ type: 'sendError', source: name, message: messageOf(error) });
        },
      );
    }
  }

  /** Browsers take half a minute to call a transport failed; users want to know earlier. */
  #explainSlowMedia(session: MediaSession): void {
    clearTimeout(this.#slowMediaTimer);
    this.#slowMediaTimer = setTimeout(() => {
      const slow = [session.recvTransport, session.sendTransport].find(
        ({ connectionState }) => connectionState === 'connecting',
      );
      if (this.#session === session && slow) void this.#explain(session, slow.direction);
    }, SLOW_MEDIA_MS);
  }

  /** Tells what keeps media from the server, if anything says so. */
  async #explain(session: MediaSession, direction: TransportDirection): Promise<void> {
    try {
      const obstacle = await session.obstacle(direction);
      if (this.#session === session) this.#dispatch({ type: 'blocked', obstacle });
    } catch (error) {
      console.debug('nothing tells why media failed', error);
    }
  }

  async #mediaFailed(session: MediaSession, direction: TransportDirection): Promise<void> {
    await this.#explain(session, direction);
    if (this.#session === session) this.#rejoin({ oneNever: !session.wasConnected.has(direction) });
  }

  /** The connection is lost. The signalling client is making the next one, but media that never flowed takes its time. */
  #lost(): void {
    const mediaWasTried = this.#session !== null;
    this.#lose();
    if (!mediaWasTried) return;
    const pause = this.#rejoining.lost(performance.now());
    if (pause !== 0) this.#reconnectAfter(pause);
  }

  /** Starts over with a new connection, after a pause that is the longer the more attempts came to nothing. */
  #rejoin(failure?: { oneNever: boolean }): void {
    this.#lose();
    this.#reconnectAfter(this.#rejoining.lost(performance.now(), failure));
  }

  #reconnectAfter(pause: number | null): void {
    if (pause === null) return this.#end({ why: 'blocked', obstacle: this.#store.get().obstacle });
    this.#signaling.close();
    this.#rejoinTimer = setTimeout(() => this.#signaling.reconnect(), pause);
  }

  #lose(): void {
    this.#closeSession();
    this.#dispatch({ type: 'lost' });
  }

  #end(reason: EndReason): void {
    this.#stopWatchingMedia();
    clearInterval(this.#handTimer);
    this.#signaling.close();
    this.#closeSession();
    this.#dispatch({ type: 'ended', reason });
  }

  #closeSession(): void {
    clearTimeout(this.#rejoinTimer);
    clearTimeout(this.#slowMediaTimer);
    const session = this.#session;
    this.#session = null;
    session?.close();
  }

  #dispatch(event: RoomEvent): void {
    const state = this.#store.get();
    if (state.phase.name !== 'ended') this.#store.set(reduce(state, event));
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
