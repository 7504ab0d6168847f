import type { RoomState } from '../room/state';

/** How the connection is, in words, with a dot. */
export function ConnectionNote({ room }: { room: RoomState }) {
  const { text, tone } = describeConnection(room);
  return (
    <span class={`connection ${tone}`} role="status">
      <span>{text}</span>
    </span>
  );
}

function describeConnection({ phase, transports }: RoomState): { text: string; tone: string } {
  switch (phase.name) {
    case 'connecting':
      return phase.failedAttempts > 0
        ? { text: 'Trying again…', tone: 'bad' }
        : { text: 'Connecting…', tone: 'busy' };
    case 'reconnecting':
      return { text: 'Reconnecting…', tone: 'bad' };
    case 'ended':
      return { text: 'Ended', tone: 'busy' };
    case 'joined': {
      const states = [transports.send, transports.recv];
      if (states.includes('disconnected')) return { text: 'Unstable connection…', tone: 'bad' };
      if (states.includes('connecting')) return { text: 'Connecting media…', tone: 'busy' };
      return { text: 'Connected', tone: 'good' };
    }
  }
}
