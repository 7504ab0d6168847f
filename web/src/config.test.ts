import { expect, it } from 'vitest';
import { readConfig, roomUrl } from './config';

it('reads what the URL asks for', () => {
  const search = '?roomId=soup&peerId=p1&name=Ada%20L&join=1&codec=VP9&stats=1&forceTcp=true&datachannel=false&height=360&mic=0';
  expect(readConfig(search)).toEqual({
    roomId: 'soup',
    peerId: 'p1',
    accessToken: null,
    peerIdIsGiven: true,
    displayName: 'Ada L',
    joinAtOnce: true,
    video: { codec: 'vp9', maxLayers: 3, scalabilityMode: null },
    videoHeight: 360,
    mic: false,
    camera: true,
    session: { forceTcp: true, data: false },
    stats: true,
  });
});

it('falls back to VP8 for a codec it does not know', () => {
  expect(readConfig('?codec=theora').video.codec).toBe('vp8');
});

it('reads how the camera is encoded, also as mediasoup-demo has it', () => {
  const video = (query: string) => readConfig(`?${query}`).video;
  const expected = { codec: 'av1', maxLayers: 2, scalabilityMode: 'L2T2' };
  expect(video('codec=av1&layers=2&scalabilityMode=L2T2')).toEqual(expected);
  expect(video('forceAV1=true&numSimulcastStreams=2&webcamScalabilityMode=L2T2')).toEqual(expected);
  expect(video('layers=3&enableWebcamLayers=false').maxLayers).toBe(1);
  expect(['0', '9', 'x'].map((layers) => video(`layers=${layers}`).maxLayers)).toEqual([1, 3, 1]);
});

it('takes only sensible heights of the picture', () => {
  const heights = ['', 'height=x', 'height=2', 'height=9999', 'height=180'].map((q) => readConfig(`?${q}`).videoHeight);
  expect(heights).toEqual([null, null, null, null, 180]);
});

it('takes a fresh peer id for each page', () => {
  const [a, b] = [readConfig(''), readConfig('')];
  expect(a.peerId).toMatch(/^[0-9a-f]{16}$/);
  expect(a.peerId).not.toBe(b.peerId);
  expect(a.peerIdIsGiven).toBe(false);
});

it('makes links that lead back to the room', () => {
  const url = new URL(roomUrl('https://example.org:4443', 'a & b'));
  expect(readConfig(url.search).roomId).toBe('a & b');
});
