import { mediaState } from '../../room/state';
import type { RoomState } from '../../room/state';

/** What is amiss with the connection, in words, with a dot. While nothing is, it is for screen readers only. */
export function ConnectionNote({ room }: { room: RoomState }) {
  const { text, tone } = describeConnection(room);
  return (
    <span class={`connection ${tone} ${tone === 'good' ? 'visually-hidden' : ''}`} role="status">
      {text}
    </span>
  );
}

function describeConnection(room: RoomState): { text: string; tone: 'good' | 'busy' | 'bad' } {
  const { phase, obstacle } = room;
  switch (phase.name) {
    case 'connecting':
      return phase.failedAttempts > 0
        ? { text: 'Trying again…', tone: 'bad' }
        : { text: 'Connecting…', tone: 'busy' };
    case 'reconnecting':
      return { text: obstacle ? 'No media' : 'Reconnecting…', tone: 'bad' };
    case 'ended':
      return { text: 'Ended', tone: 'busy' };
    case 'joined':
      switch (mediaState(room)) {
        case 'unstable':
          return { text: 'Unstable connection…', tone: 'bad' };
        case 'ready':
          return { text: 'Connected', tone: 'good' };
        default:
          return obstacle
            ? { text: 'No media', tone: 'bad' }
            : { text: 'Connecting media…', tone: 'busy' };
      }
  }
}
