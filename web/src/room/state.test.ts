import { describe, expect, it } from 'vitest';
import type { PeerInfo, ServerNotification } from '../signaling/protocol';
import { initialRoomState, mediaState, reduce } from './state';
import type { RoomEvent, RoomState } from './state';

const device = { flag: 'chrome', name: 'Chrome', version: '140' };
const ada: PeerInfo = { id: 'ada', displayName: 'Ada', device };
const bob: PeerInfo = { id: 'bob', displayName: 'Bob', device };

describe('joining', () => {
  it('counts failed attempts until the room is joined', () => {
    const state = run({ type: 'attemptFailed', attempt: 2 });
    expect(state.phase).toEqual({ name: 'connecting', failedAttempts: 2 });
    expect(run({ type: 'attemptFailed', attempt: 2 }, joined()).phase).toEqual({ name: 'joined' });
  });

  it('keeps a peer that a newPeer told of before the answer to join came', () => {
    const state = run(notification({ method: 'newPeer', data: bob }), joined(ada));
    expect([...state.peers.keys()]).toEqual(['bob', 'ada']);
  });
});

describe('a lost connection', () => {
  it('keeps the peers on show but drops their media', () => {
    const state = run(joined(ada), consumerAdded('c1', 'ada'), { type: 'lost' });
    expect(state.phase).toEqual({ name: 'reconnecting', failedAttempts: 0 });
    expect(state.peers.get('ada')?.stale).toBe(true);
    expect(state.consumers.size).toBe(0);
  });

  it('drops those that are gone when the room is joined again, and keeps the order of the rest', () => {
    const state = run(joined(ada, bob), { type: 'lost' }, joined({ ...ada, id: 'cy' }, bob));
    expect([...state.peers.values()].map(({ id, stale }) => [id, stale])).toEqual([
      ['bob', false],
      ['cy', false],
    ]);
  });

  it('stays "connecting" when the room was never joined', () => {
    expect(run({ type: 'lost' }).phase.name).toBe('connecting');
  });

  it('does not bring an ended call back', () => {
    const state = run({ type: 'ended', reason: { why: 'replaced' } }, { type: 'lost' });
    expect(state.phase).toEqual({ name: 'ended', reason: { why: 'replaced' } });
  });
});

describe('media', () => {
  const transport = (direction: 'send' | 'recv', state: 'connecting' | 'connected' | 'failed'): RoomEvent => ({
    type: 'transportState',
    direction,
    state,
  });
  const blocked: RoomEvent = { type: 'blocked', obstacle: { what: 'unreachable', addresses: ['UDP 192.0.2.1:1'] } };

  it('is not ready before a transport is connected', () => {
    expect(mediaState(run(joined()))).toBe('none');
    expect(mediaState(run(joined(), transport('recv', 'connecting')))).toBe('connecting');
    expect(mediaState(run(joined(), transport('recv', 'connected')))).toBe('ready');
    const states = [transport('recv', 'connected'), transport('send', 'connecting')];
    expect(mediaState(run(joined(), ...states))).toBe('connecting');
    expect(mediaState(run(joined(), ...states, transport('send', 'failed')))).toBe('unstable');
  });

  it('stays blocked through further attempts until it gets through', () => {
    const state = run(joined(), blocked, { type: 'lost' }, joined(), transport('recv', 'connecting'));
    expect(state.obstacle?.what).toBe('unreachable');
    expect(reduce(state, transport('recv', 'connected')).obstacle).toBeNull();
  });
});

describe('the chat', () => {
  const message = (peerId: string | null, text = 'hi'): RoomEvent => ({ type: 'message', peerId, text, at: 5 });

  it('keeps the name that a sender had', () => {
    const left = notification({ method: 'peerClosed', data: { peerId: 'ada' } });
    const { messages } = run(joined(ada), message('ada'), left, message(null)).chat;
    expect(messages).toEqual([
      { id: 1, peerId: 'ada', name: 'Ada', text: 'hi', at: 5 },
      { id: 2, peerId: null, name: null, text: 'hi', at: 5 },
    ]);
  });

  it('forgets the oldest messages, and the end of long ones', () => {
    const many = Array.from({ length: 600 }, (_, index) => message('ada', 'x'.repeat(index * 100)));
    const { messages } = run(...many).chat;
    expect([messages.length, messages[0]?.id, messages.at(-1)?.text.length]).toEqual([500, 101, 10_000]);
  });

  it('keeps its messages through a lost connection, and is closed meanwhile', () => {
    const { chat } = run({ type: 'chatOpen', open: true }, message('ada'), { type: 'lost' });
    expect([chat.open, chat.messages.length]).toEqual([false, 1]);
    expect(run({ type: 'lost' }).chat.open).toBeNull();
  });
});

describe('consumers', () => {
  it('may come before their peer', () => {
    const state = run(consumerAdded('c1', 'ada'), joined(ada));
    expect(state.consumers.get('c1')?.peerId).toBe('ada');
  });

  it('are paused and resumed', () => {
    const paused = run(
      consumerAdded('c1', 'ada'),
      notification({ method: 'consumerPaused', data: { consumerId: 'c1' } }),
    );
    expect(paused.consumers.get('c1')?.paused).toBe(true);
    const resumed = reduce(
      paused,
      notification({ method: 'consumerResumed', data: { consumerId: 'c1' } }),
    );
    expect(resumed.consumers.get('c1')?.paused).toBe(false);
  });

  it('take score and layers', () => {
    const score = { score: 9, producerScore: 10, producerScores: [10] };
    const state = run(
      consumerAdded('c1', 'ada'),
      notification({ method: 'consumerScore', data: { consumerId: 'c1', score } }),
      notification({
        method: 'consumerLayersChanged',
        data: { consumerId: 'c1', spatialLayer: 1, temporalLayer: null },
      }),
    );
    expect(state.consumers.get('c1')).toMatchObject({
      score,
      layers: { spatialLayer: 1, temporalLayer: null },
    });
  });

  it('leave the state untouched when they are not known', () => {
    const state = run(joined(ada));
    const event = notification({ method: 'consumerPaused', data: { consumerId: 'gone' } });
    expect(reduce(state, event)).toBe(state);
  });

  it('go with their peer, which is no longer the speaker', () => {
    const state = run(
      joined(ada, bob),
      consumerAdded('c1', 'ada'),
      consumerAdded('c2', 'bob'),
      notification({ method: 'activeSpeaker', data: { peerId: 'ada', volume: -30 } }),
      notification({ method: 'peerClosed', data: { peerId: 'ada' } }),
    );
    expect([...state.peers.keys()]).toEqual(['bob']);
    expect([...state.consumers.keys()]).toEqual(['c2']);
    expect(state.activeSpeaker).toBeNull();
  });
});

describe('the active speaker', () => {
  const speaking = notification({ method: 'activeSpeaker', data: { peerId: 'ada', volume: -20 } });

  it('is whom the server names', () => {
    expect(run(joined(ada), speaking).activeSpeaker).toEqual({ peerId: 'ada', volume: -20 });
  });

  it.each([{ peerId: null }, { volume: -20 }])('is nobody after %o', (data) => {
    const silence = notification({ method: 'activeSpeaker', data });
    expect(run(joined(ada), speaking, silence).activeSpeaker).toBeNull();
  });
});

describe('a raised hand', () => {
  const hand = (peerId: string, upMs: number | null, at: number): RoomEvent => ({
    type: 'signal', peerId, signal: { type: 'hand', upMs }, at,
  });

  it('is up since it was raised, however often that is repeated', () => {
    const state = run(joined(ada, bob), hand('bob', 0, 5000), hand('ada', 3000, 6000), hand('bob', 4100, 9000));
    expect([...state.hands]).toEqual([['bob', 5000], ['ada', 3000]]);
  });

  it('goes down, and goes with its peer', () => {
    const left = notification({ method: 'peerClosed', data: { peerId: 'ada' } });
    expect(run(joined(ada), hand('ada', 0, 1), hand('ada', null, 2)).hands.size).toBe(0);
    expect(run(joined(ada), hand('ada', 0, 1), left).hands.size).toBe(0);
    const rejoined = run(joined(ada, bob), hand('ada', 0, 1), hand('me', 0, 1), { type: 'lost' }, joined(bob));
    expect([...rejoined.hands.keys()]).toEqual(['me']);
  });
});

it('keeps the last reactions', () => {
  const reaction: RoomEvent = { type: 'signal', peerId: 'ada', signal: { type: 'reaction', reaction: '👍' }, at: 0 };
  const { reactions } = run(joined(ada), ...Array.from({ length: 50 }, () => reaction));
  expect(reactions).toHaveLength(20);
  expect(reactions.at(-1)).toEqual({ id: 50, peerId: 'ada', reaction: '👍' });
});

it('renames a peer', () => {
  const data = { peerId: 'ada', displayName: 'Countess', oldDisplayName: 'Ada' };
  const state = run(joined(ada), notification({ method: 'peerDisplayNameChanged', data }));
  expect(state.peers.get('ada')?.displayName).toBe('Countess');
});

it('ignores a notification of a newer server', () => {
  const state = run(joined(ada));
  const unknown = { method: 'brandNew', data: {} } as unknown as ServerNotification;
  expect(reduce(state, notification(unknown))).toBe(state);
});

function run(...events: RoomEvent[]): RoomState {
  return events.reduce(reduce, initialRoomState);
}

function joined(...peers: PeerInfo[]): RoomEvent {
  return { type: 'joined', peers };
}

function notification(message: ServerNotification): RoomEvent {
  return { type: 'notification', notification: message };
}

function consumerAdded(id: string, peerId: string): RoomEvent {
  const track = {} as MediaStreamTrack;
  return {
    type: 'consumerAdded',
    consumer: {
      id,
      peerId,
      producerId: `p-${id}`,
      kind: 'video',
      type: 'simple',
      share: false,
      track,
      paused: false,
    },
  };
}
