import { expect, it } from 'vitest';
import type { LocalMediaState, SourceState } from '../../room/local-media';
import { initialRoomState } from '../../room/state';
import type { ConsumerState, RoomState } from '../../room/state';
import { tilesOf } from './tiles';

const self = { peerId: 'me', name: 'Me' };

it('shows oneself last, and alone when nobody else is there', () => {
  expect(names(room())).toEqual(['Me']);
  expect(names(room('ada', 'bob'))).toEqual(['ada', 'bob', 'Me']);
});

it('shows no picture of a peer whose video is paused', () => {
  const state = { ...room('ada'), consumers: consumers(consumer('v', 'video', true)) };
  expect(tilesOf(state, media(), self)[0]?.video).toBeNull();
});

it('takes a peer without running sound as muted', () => {
  const withAudio = (...audio: ConsumerState[]) =>
    tilesOf({ ...room('ada'), consumers: consumers(...audio) }, media(), self)[0]?.muted;
  expect(withAudio()).toBe(true);
  expect(withAudio(consumer('a', 'audio', true))).toBe(true);
  expect(withAudio(consumer('a', 'audio', false))).toBe(false);
});

it('gives each further video of a peer a tile of its own', () => {
  const videos = consumers(consumer('v1', 'video', false), consumer('v2', 'video', false));
  const tiles = tilesOf({ ...room('ada'), consumers: videos }, media(), self);
  expect(tiles.map((tile) => tile.key)).toEqual(['ada', 'ada/v2', 'me']);
});

it('puts shared screens first, under the names of their owners, and gives their sound no say', () => {
  const screen = { ...consumer('s', 'video', false), share: true };
  const sound = { ...consumer('t', 'audio', false), share: true };
  const tiles = tilesOf({ ...room('bob', 'ada'), consumers: consumers(screen, sound) }, media(), self);
  expect(tiles.map(({ key, kind, name }) => [key, kind, name])).toEqual([
    ['ada/p-s', 'screen', 'ada'], ['bob', 'camera', 'bob'], ['ada', 'camera', 'ada'], ['me', 'camera', 'Me'],
  ]);
  expect(tiles[0]?.streams).toEqual({ video: 's', audio: 't' });
  expect(tiles[2]).toMatchObject({ muted: true, video: null });
});

it('has no tile for a share that is paused, or whose owner is not known yet', () => {
  const shares = [consumer('s', 'video', true), { ...consumer('u', 'video', false), peerId: 'eve' }];
  const state = { ...room('ada'), consumers: consumers(...shares.map((one) => ({ ...one, share: true }))) };
  expect(tilesOf(state, media(), self).map((tile) => tile.key)).toEqual(['ada', 'me']);
});

it('shows oneself what one shares', () => {
  const local = media();
  local.screen = { ...local.screen, enabled: true, track: {} as MediaStreamTrack };
  expect(tilesOf(room('ada'), local, self).map((tile) => tile.key)).toEqual(['ada', 'me/screen', 'me']);
});

it('marks the speaker, oneself too unless muted', () => {
  const speaking = (peerId: string, micOn: boolean) => {
    const state: RoomState = {
      ...room('ada'),
      consumers: consumers(consumer('a', 'audio', false)),
      activeSpeaker: { peerId, volume: -20 },
    };
    return tilesOf(state, media(micOn), self)
      .filter((tile) => tile.speaking)
      .map((tile) => tile.peerId);
  };
  expect(speaking('ada', true)).toEqual(['ada']);
  expect(speaking('me', true)).toEqual(['me']);
  expect(speaking('me', false)).toEqual([]);
});

function names(state: RoomState): string[] {
  return tilesOf(state, media(), self).map((tile) => tile.name);
}

function room(...ids: string[]): RoomState {
  const device = { flag: 'chrome', name: 'Chrome', version: '140' };
  const peers = ids.map((id) => [id, { id, displayName: id, device, stale: false }] as const);
  return { ...initialRoomState, phase: { name: 'joined' }, peers: new Map(peers) };
}

function consumers(...all: ConsumerState[]): RoomState['consumers'] {
  return new Map(all.map((one) => [one.id, one]));
}

function consumer(id: string, kind: 'audio' | 'video', paused: boolean): ConsumerState {
  return {
    id,
    peerId: 'ada',
    producerId: `p-${id}`,
    kind,
    type: 'simple',
    share: false,
    track: {} as MediaStreamTrack,
    paused,
    score: null,
    layers: { spatialLayer: null, temporalLayer: null },
  };
}

function media(micOn = true): LocalMediaState {
  const source = (enabled: boolean): SourceState => ({
    enabled,
    starting: false,
    track: null,
    deviceId: null,
    problem: null,
    interrupted: false,
  });
  return {
    mic: source(micOn),
    camera: source(false),
    screen: source(false),
    screenSound: source(false),
    devices: { mic: [], camera: [], speaker: [] },
    speakerId: null,
    processing: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    videoHeight: 720,
  };
}
