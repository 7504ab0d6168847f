/**
 * What is known of a room, as one immutable value, and `reduce`, which takes it from event to
 * event. Server notifications are events as they come.
 */

import type { types } from 'mediasoup-client';
import type {
  ConsumerScore,
  ConsumerType,
  DeviceInfo,
  PeerInfo,
  ProducerScore,
  ServerNotification,
} from '../signaling/protocol';
import type { MediaSource } from './local-media';
import type { Obstacle } from './obstacle';
import type { TransportDirection } from './session';
import type { Reaction, Signal } from './signals';

export type Phase =
  /** The first connection is being made. */
  | { name: 'connecting'; failedAttempts: number }
  | { name: 'joined' }
  /** Connection or media lost; a new one is being made and the room rejoined, perhaps after a pause. */
  | { name: 'reconnecting'; failedAttempts: number }
  | { name: 'ended'; reason: EndReason };

export type EndReason =
  /** `others`: how many were still there. */
  | { why: 'left'; others: number }
  /** The same peer joined from somewhere else. */
  | { why: 'replaced' }
  | { why: 'unsupported-browser' }
  /** Media does not get through, or the connection never lasts; null where nothing tells why. */
  | { why: 'blocked'; obstacle: Obstacle | null }
  | { why: 'failed'; message: string };

export interface PeerState {
  id: string;
  displayName: string;
  device: DeviceInfo;
  /** Known from before the connection was lost; not yet confirmed by the server. */
  stale: boolean;
}

export interface ConsumerState {
  id: string;
  peerId: string;
  producerId: string;
  kind: types.MediaKind;
  type: ConsumerType;
  /** Of a shared screen. */
  share: boolean;
  track: MediaStreamTrack;
  /** The producing peer paused it. */
  paused: boolean;
  score: ConsumerScore | null;
  /** The layers being received, for simulcast and SVC. */
  layers: { spatialLayer: number | null; temporalLayer: number | null };
}

export interface ChatMessage {
  /** Counts up. */
  id: number;
  /** Null for the room's bot; perhaps oneself. */
  peerId: string | null;
  /** The sender's name then; null for oneself and for the bot. */
  name: string | null;
  text: string;
  /** Milliseconds since the epoch, here. */
  at: number;
}

export interface ChatState {
  /** Null where the server has no chat. */
  open: boolean | null;
  /** Oldest first. */
  messages: readonly ChatMessage[];
}

export interface ReactionState {
  /** Counts up. */
  id: number;
  /** Perhaps oneself. */
  peerId: string;
  reaction: Reaction;
}

export interface RoomState {
  phase: Phase;
  /** In order of arrival. */
  peers: ReadonlyMap<string, PeerState>;
  consumers: ReadonlyMap<string, ConsumerState>;
  producerScores: ReadonlyMap<string, ProducerScore[]>;
  /** The loudest peer of the moment, perhaps oneself. */
  activeSpeaker: { peerId: string; volume: number } | null;
  /** The server's estimate of the way down to here, bits per second. */
  downlink: { desiredBitrate: number; availableBitrate: number } | null;
  transports: Record<TransportDirection, types.ConnectionState>;
  /** Why a source is not being sent although it is on. */
  sendErrors: Record<MediaSource, string | null>;
  /** What kept media from the server at the last attempt; null once media got through. */
  obstacle: Obstacle | null;
  serverVersion: string | null;
  chat: ChatState;
  /** Since when hands are up, by peer, oneself included: milliseconds since the epoch, here. */
  hands: ReadonlyMap<string, number>;
  /** The last ones, oldest first. */
  reactions: readonly ReactionState[];
}

export type RoomEvent =
  | { type: 'attemptFailed'; attempt: number }
  | { type: 'joined'; peers: PeerInfo[] }
  | { type: 'lost' }
  | { type: 'blocked'; obstacle: Obstacle }
  | { type: 'ended'; reason: EndReason }
  | { type: 'consumerAdded'; consumer: Omit<ConsumerState, 'score' | 'layers'> }
  | { type: 'transportState'; direction: TransportDirection; state: types.ConnectionState }
  | { type: 'sendError'; source: MediaSource; message: string | null }
  | { type: 'chatOpen'; open: boolean }
  | { type: 'message'; peerId: string | null; text: string; at: number }
  | { type: 'signal'; peerId: string; signal: Signal; at: number }
  | { type: 'notification'; notification: ServerNotification };

export const initialRoomState: RoomState = {
  phase: { name: 'connecting', failedAttempts: 0 },
  peers: new Map(),
  consumers: new Map(),
  producerScores: new Map(),
  activeSpeaker: null,
  downlink: null,
  transports: { send: 'new', recv: 'new' },
  sendErrors: { mic: null, camera: null, screen: null, screenSound: null },
  obstacle: null,
  serverVersion: null,
  chat: { open: null, messages: [] },
  hands: new Map(),
  reactions: [],
};

/**
 * How media is: `none` before either transport is asked for anything, `ready` where one is connected and the other one
 * is, too, or has nothing to carry.
 */
export function mediaState({ transports }: RoomState): 'none' | 'connecting' | 'ready' | 'unstable' {
  const states = [transports.send, transports.recv];
  if (states.includes('disconnected') || states.includes('failed')) return 'unstable';
  if (states.includes('connecting')) return 'connecting';
  return states.includes('connected') ? 'ready' : 'none';
}

/** How many chat messages are kept, and how much of each. */
const MAX_MESSAGES = 500;
const MAX_MESSAGE_LENGTH = 10_000;

/** How many reactions are kept: as many as can be seen at a time. */
const MAX_REACTIONS = 20;

/** The state after an event; the same object when the event changes nothing. */
export function reduce(state: RoomState, event: RoomEvent): RoomState {
  switch (event.type) {
    case 'attemptFailed':
      return 'failedAttempts' in state.phase
        ? { ...state, phase: { ...state.phase, failedAttempts: event.attempt } }
        : state;
    case 'joined': {
      const peers = confirmPeers(state.peers, event.peers);
      const gone = [...state.peers.keys()].filter((id) => !peers.has(id));
      return { ...state, phase: { name: 'joined' }, peers, hands: gone.reduce(without, state.hands) };
    }
    case 'lost':
      return lose(state);
    case 'blocked':
      return { ...state, obstacle: event.obstacle };
    case 'ended':
      return { ...initialRoomState, phase: { name: 'ended', reason: event.reason } };
    case 'consumerAdded': {
      const consumer: ConsumerState = {
        ...event.consumer,
        score: null,
        layers: { spatialLayer: null, temporalLayer: null },
      };
      return { ...state, consumers: withEntry(state.consumers, consumer.id, consumer) };
    }
    case 'transportState':
      return {
        ...state,
        transports: { ...state.transports, [event.direction]: event.state },
        obstacle: event.state === 'connected' ? null : state.obstacle,
      };
    case 'sendError':
      return state.sendErrors[event.source] === event.message
        ? state
        : { ...state, sendErrors: { ...state.sendErrors, [event.source]: event.message } };
    case 'chatOpen':
      return { ...state, chat: { ...state.chat, open: event.open } };
    case 'message':
      return addMessage(state, event);
    case 'signal':
      return signalled(state, event);
    case 'notification':
      return notified(state, event.notification);
  }
}

function notified(state: RoomState, { method, data }: ServerNotification): RoomState {
  switch (method) {
    case 'mediasoup-version':
      return { ...state, serverVersion: data.version };
    case 'newPeer':
      return { ...state, peers: withEntry(state.peers, data.id, present(data)) };
    case 'peerClosed':
      return removePeer(state, data.peerId);
    case 'peerDisplayNameChanged':
      return {
        ...state,
        peers: changeEntry(state.peers, data.peerId, { displayName: data.displayName }),
      };
    case 'producerScore':
      return { ...state, producerScores: withEntry(state.producerScores, data.producerId, data.score) };
    case 'consumerScore':
      return changeConsumer(state, data.consumerId, { score: data.score });
    case 'consumerClosed':
      return { ...state, consumers: without(state.consumers, data.consumerId) };
    case 'consumerPaused':
      return changeConsumer(state, data.consumerId, { paused: true });
    case 'consumerResumed':
      return changeConsumer(state, data.consumerId, { paused: false });
    case 'consumerLayersChanged': {
      const { consumerId, spatialLayer, temporalLayer } = data;
      return changeConsumer(state, consumerId, { layers: { spatialLayer, temporalLayer } });
    }
    case 'activeSpeaker': {
      const { peerId, volume } = data;
      return { ...state, activeSpeaker: peerId ? { peerId, volume: volume ?? 0 } : null };
    }
    case 'downlinkBwe': {
      const { desiredBitrate, availableBitrate } = data;
      return { ...state, downlink: { desiredBitrate, availableBitrate } };
    }
    default:
      // A newer server may tell more than this app knows of.
      return state;
  }
}

function signalled(
  state: RoomState,
  { peerId, signal, at }: Extract<RoomEvent, { type: 'signal' }>,
): RoomState {
  switch (signal.type) {
    case 'hand':
      if (signal.upMs === null) return { ...state, hands: without(state.hands, peerId) };
      // Repetitions don't change the order.
      return state.hands.has(peerId)
        ? state
        : { ...state, hands: withEntry(state.hands, peerId, at - signal.upMs) };
    case 'reaction': {
      const id = (state.reactions.at(-1)?.id ?? 0) + 1;
      const reactions = [...state.reactions, { id, peerId, reaction: signal.reaction }];
      return { ...state, reactions: reactions.slice(-MAX_REACTIONS) };
    }
  }
}

function addMessage(
  state: RoomState,
  { peerId, text, at }: Extract<RoomEvent, { type: 'message' }>,
): RoomState {
  const message: ChatMessage = {
    id: (state.chat.messages.at(-1)?.id ?? 0) + 1,
    peerId,
    name: (peerId && state.peers.get(peerId)?.displayName) || null,
    text: text.slice(0, MAX_MESSAGE_LENGTH),
    at,
  };
  const messages = [...state.chat.messages, message].slice(-MAX_MESSAGES);
  return { ...state, chat: { ...state.chat, messages } };
}

/**
 * The peers stay on show while the connection is made again, but all media of the old one is gone.
 */
function lose(state: RoomState): RoomState {
  if (state.phase.name === 'ended') return state;
  const name = state.phase.name === 'connecting' ? 'connecting' : 'reconnecting';
  return {
    ...state,
    phase: { name, failedAttempts: 0 },
    peers: new Map([...state.peers].map(([id, peer]) => [id, { ...peer, stale: true }])),
    consumers: new Map(),
    producerScores: new Map(),
    activeSpeaker: null,
    downlink: null,
    transports: initialRoomState.transports,
    chat: { ...state.chat, open: state.chat.open === null ? null : false },
  };
}

/**
 * The peers that `join` answered, in the place they had before; and those that a `newPeer` told of
 * meanwhile.
 */
function confirmPeers(
  known: ReadonlyMap<string, PeerState>,
  listed: PeerInfo[],
): ReadonlyMap<string, PeerState> {
  const peers = new Map(known);
  for (const info of listed) peers.set(info.id, present(info));
  for (const peer of known.values()) {
    if (peers.get(peer.id)?.stale) peers.delete(peer.id);
  }
  return peers;
}

function present({ id, displayName, device }: PeerInfo): PeerState {
  return { id, displayName, device, stale: false };
}

function removePeer(state: RoomState, peerId: string): RoomState {
  return {
    ...state,
    peers: without(state.peers, peerId),
    hands: without(state.hands, peerId),
    consumers: new Map([...state.consumers].filter(([, consumer]) => consumer.peerId !== peerId)),
    activeSpeaker: state.activeSpeaker?.peerId === peerId ? null : state.activeSpeaker,
  };
}

function changeConsumer(state: RoomState, id: string, change: Partial<ConsumerState>): RoomState {
  const consumers = changeEntry(state.consumers, id, change);
  return consumers === state.consumers ? state : { ...state, consumers };
}

function withEntry<V>(map: ReadonlyMap<string, V>, key: string, value: V): ReadonlyMap<string, V> {
  return new Map(map).set(key, value);
}

function without<V>(map: ReadonlyMap<string, V>, key: string): ReadonlyMap<string, V> {
  if (!map.has(key)) return map;
  const copy = new Map(map);
  copy.delete(key);
  return copy;
}

function changeEntry<V extends object>(
  map: ReadonlyMap<string, V>,
  key: string,
  change: Partial<V>,
): ReadonlyMap<string, V> {
  const value = map.get(key);
  return value ? withEntry(map, key, { ...value, ...change }) : map;
}
