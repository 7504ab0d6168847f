import { expect, it } from 'vitest';
import { appDataOf, isShare } from './app-data';

it('marks a share as both web apps of mediasoup-demo do', () => {
  expect(appDataOf('screen', 1080)).toEqual({ source: 'screensharing', share: true, height: 1080 });
  expect(appDataOf('screenSound')).toEqual({ source: 'screensharing', share: true });
  expect(appDataOf('camera', 720)).toEqual({ source: 'camera', height: 720 });
});

it('knows the shares of other clients', () => {
  expect([{ source: 'screensharing' }, { share: true }].map(isShare)).toEqual([true, true]);
  expect([{ source: 'video' }, { share: 'yes' }, {}, appDataOf('mic')].map(isShare)).toEqual([false, false, false, false]);
});
