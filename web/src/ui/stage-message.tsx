import type { RoomState } from '../room/state';
import { obstacleTexts } from './obstacle-text';

/** What to know about the call as a whole, laid over the tiles. */
export function StageMessage({ room: { phase, peers, obstacle } }: { room: RoomState }) {
  const message = (text: string, hint: string) => (
    <div class="stage-message">
      <p>{text}</p>
      <p class="hint">{hint}</p>
    </div>
  );
  if (obstacle && phase.name !== 'ended') {
    const { text, hint } = obstacleTexts(obstacle);
    return message(text, hint);
  }
  switch (phase.name) {
    case 'connecting':
      return phase.failedAttempts > 0
        ? message('The server can’t be reached.', 'Trying again until it answers.')
        : null;
    case 'reconnecting':
      return message('Reconnecting…', 'You’ll be back as soon as the server answers.');
    default:
      return peers.size === 0
        ? message('You’re the only one here.', 'Send the link to whoever should join.')
        : null;
  }
}
