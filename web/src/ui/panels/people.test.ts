import { expect, it } from 'vitest';
import type { LocalMediaState } from '../../room/local-media';
import { initialRoomState } from '../../room/state';
import type { ConsumerState, RoomState } from '../../room/state';
import { found, peopleOf } from './people';

const off = { enabled: false, starting: false, track: null, deviceId: null, problem: null, interrupted: false };
const media: LocalMediaState = {
  mic: { ...off, enabled: true },
  camera: off,
  screen: off,
  screenSound: off,
  devices: { mic: [], camera: [], speaker: [] },
  speakerId: null,
  processing: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  videoHeight: 720,
};
const self = { peerId: 'me', name: 'Me' };

it('has oneself first, and hands before all in the order in which they were raised', () => {
  const state = { ...room('ada', 'bob', 'cy'), hands: new Map([['cy', 50], ['bob', 20]]) };
  expect(peopleOf(state, media, self).map(({ peerId, hand }) => [peerId, hand])).toEqual([
    ['bob', 1], ['cy', 2], ['me', null], ['ada', null],
  ]);
});

it('tells who is muted, without camera, and presenting', () => {
  const consumers = [consumer('ada', 'audio'), consumer('bob', 'video', true), consumer('bob', 'audio', true)];
  const state = { ...room('ada', 'bob'), consumers: new Map(consumers.map((one) => [one.id, one])) };
  const told = peopleOf(state, media, self).map(({ muted, cameraOff, presenting }) => [muted, cameraOff, presenting]);
  expect(told).toEqual([[false, true, false], [false, true, false], [true, true, true]]);
});

it('is searched by parts of names', () => {
  const names = (words: string) => found(peopleOf(room('Zoë Ångström', 'Ada'), media, self), words).map(({ name }) => name);
  expect(names('')).toHaveLength(3);
  expect(names('zoe ang')).toEqual(['Zoë Ångström']);
  expect(names('A')).toEqual(['Zoë Ångström', 'Ada']);
  expect(names('nobody')).toEqual([]);
});

function room(...ids: string[]): RoomState {
  const device = { flag: 'chrome', name: 'Chrome', version: '140' };
  const peers = ids.map((id) => [id, { id, displayName: id, device, stale: false }] as const);
  return { ...initialRoomState, phase: { name: 'joined' }, peers: new Map(peers) };
}

function consumer(peerId: string, kind: 'audio' | 'video', share = false): ConsumerState {
  return {
    id: `${peerId} ${kind} ${share}`,
    peerId,
    producerId: 'p',
    kind,
    type: 'simple',
    share,
    track: {} as MediaStreamTrack,
    paused: false,
    score: null,
    layers: { spatialLayer: null, temporalLayer: null },
  };
}
