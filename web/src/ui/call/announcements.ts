/** What has happened in a room between two states, in words for those who don't see it. */

import type { RoomState } from '../../room/state';

interface Listener {
  selfId: string;
  /** Then messages are read by the chat itself. */
  chatShown: boolean;
}

export function announcementsOf(before: RoomState, after: RoomState, { selfId, chatShown }: Listener): string[] {
  const nameOf = (peerId: string) =>
    (after.peers.get(peerId) ?? before.peers.get(peerId))?.displayName ?? 'Somebody';
  const news: string[] = [];
  const tell = (ids: string[], what: string) => news.push(...ids.map((id) => `${nameOf(id)} ${what}`));
  const others = (ids: Iterable<string>) => [...ids].filter((id) => id !== selfId);

  tell(missing(after.peers.keys(), before.peers), 'joined');
  tell(missing(before.peers.keys(), after.peers), 'left');
  if (before.phase.name === 'joined' && after.phase.name === 'joined') {
    tell(missing(presenters(after), presenters(before)), 'shares a screen');
    tell(missing(presenters(before), presenters(after)), 'shares no screen any more');
  }
  tell(missing(others(after.hands.keys()), before.hands), 'raised a hand');
  const known = before.chat.messages.at(-1)?.id ?? 0;
  for (const { id, peerId, text } of chatShown ? [] : after.chat.messages) {
    if (id > known && peerId !== selfId) news.push(`${peerId === null ? 'The bot' : nameOf(peerId)} writes: ${text}`);
  }
  return news;
}

function presenters({ consumers, peers }: RoomState): Set<string> {
  const shares = [...consumers.values()].filter(({ share, kind }) => share && kind === 'video');
  return new Set(shares.map(({ peerId }) => peerId).filter((peerId) => peers.has(peerId)));
}

function missing(ids: Iterable<string>, known: { has: (id: string) => boolean }): string[] {
  return [...ids].filter((id) => !known.has(id));
}
