/** Who is in a call, as a list. */

import type { LocalMediaState } from '../../room/local-media';
import { ownQuality, qualityOf } from '../../room/quality';
import type { Quality } from '../../room/quality';
import type { RoomState } from '../../room/state';

export interface Person {
  peerId: string;
  name: string;
  isSelf: boolean;
  muted: boolean;
  cameraOff: boolean;
  presenting: boolean;
  speaking: boolean;
  /** Whose hand went up first is 1; null while it is down. */
  hand: number | null;
  quality: Quality | null;
}

/** Oneself first; before all, those whose hands are up, in order. */
export function peopleOf(
  room: RoomState,
  media: LocalMediaState,
  self: { peerId: string; name: string },
): Person[] {
  const hands = [...room.hands].sort(([, a], [, b]) => a - b).map(([peerId]) => peerId);
  const common = (peerId: string) => ({
    peerId,
    speaking: room.activeSpeaker?.peerId === peerId,
    hand: hands.includes(peerId) ? hands.indexOf(peerId) + 1 : null,
  });
  const people: Person[] = [
    {
      ...common(self.peerId),
      name: self.name,
      isSelf: true,
      muted: !media.mic.enabled,
      cameraOff: !media.camera.track,
      presenting: media.screen.enabled,
      quality: ownQuality(room),
    },
  ];
  for (const peer of room.peers.values()) {
    const sent = [...room.consumers.values()].filter(({ peerId, paused }) => peerId === peer.id && !paused);
    const sends = (kind: string, share: boolean) => sent.some((one) => one.kind === kind && one.share === share);
    people.push({
      ...common(peer.id),
      name: peer.displayName,
      isSelf: false,
      muted: !sends('audio', false),
      cameraOff: !sends('video', false),
      presenting: sends('video', true),
      quality: qualityOf(peer.id, room),
    });
  }
  const place = ({ hand }: Person) => hand ?? people.length + 1;
  return people.sort((a, b) => place(a) - place(b));
}

/** Those whose name has the words in it, whatever the case and the accents. */
export function found(people: Person[], words: string): Person[] {
  const wanted = folded(words).split(/\s+/).filter(Boolean);
  return people.filter(({ name }) => wanted.every((word) => folded(name).includes(word)));
}

function folded(text: string): string {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
}
