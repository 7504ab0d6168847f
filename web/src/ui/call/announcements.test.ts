import { expect, it } from 'vitest';
import { initialRoomState, reduce } from '../../room/state';
import type { RoomEvent, RoomState } from '../../room/state';
import { announcementsOf } from './announcements';

const device = { flag: 'chrome', name: 'Chrome', version: '140' };
const person = (id: string) => ({ id, displayName: id.toUpperCase(), device });
const joined: RoomEvent = { type: 'joined', peers: [person('ada')] };
const left: RoomEvent = { type: 'notification', notification: { method: 'peerClosed', data: { peerId: 'ada' } } };
const message = (peerId: string | null): RoomEvent => ({ type: 'message', peerId, text: 'hello', at: 0 });
const share: RoomEvent = {
  type: 'consumerAdded',
  consumer: {
    id: 's', peerId: 'ada', producerId: 'p', kind: 'video', type: 'simple', share: true, paused: false,
    track: {} as MediaStreamTrack,
  },
};
const closed: RoomEvent = { type: 'notification', notification: { method: 'consumerClosed', data: { consumerId: 's' } } };

it('tells who came, who went, who shares and whose hand is up', () => {
  const hand: RoomEvent = { type: 'signal', peerId: 'ada', signal: { type: 'hand', upMs: 0 }, at: 0 };
  const own: RoomEvent = { ...hand, peerId: 'me' };
  expect(news([joined, share, closed, hand, own, left])).toEqual([
    'ADA joined', 'ADA shares a screen', 'ADA shares no screen any more', 'ADA raised a hand', 'ADA left',
  ]);
});

it('reads messages of others while the chat is not shown', () => {
  const messages = [joined, message('ada'), message('me'), message(null)];
  expect(news(messages)).toEqual(['ADA joined', 'ADA writes: hello', 'The bot writes: hello']);
  expect(news(messages, true)).toEqual(['ADA joined']);
});

it('does not call a lost connection the end of a share', () => {
  expect(news([joined, share, { type: 'lost' }])).toEqual(['ADA joined', 'ADA shares a screen']);
});

function news(events: RoomEvent[], chatShown = false): string[] {
  let before: RoomState = initialRoomState;
  return events.flatMap((event) => {
    const after = reduce(before, event);
    const told = announcementsOf(before, after, { selfId: 'me', chatShown });
    before = after;
    return told;
  });
}
