import type { RoomState } from '../../room/state';
import { obstacleTexts } from '../obstacle-text';

interface StageMessageProps {
  room: RoomState;
  /** Whether the user wants to share a screen where that can't be. */
  cannotShare: boolean;
  /** Turns the microphone on; null unless the user speaks without it. */
  onUnmute: (() => void) | null;
}

/** What to know about the call as a whole, laid over the tiles. */
export function StageMessage({ room: { phase, peers, obstacle }, cannotShare, onUnmute }: StageMessageProps) {
  const message = (text: string, hint: string) => (
    <div class="stage-message" role="status">
      <p>{text}</p>
      <p class="hint">{hint}</p>
    </div>
  );
  if (cannotShare) {
    return message('This browser can’t share a screen.', 'Phones and tablets don’t offer it. Join from a computer to do so.');
  }
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
      if (onUnmute) return <MutedMessage onUnmute={onUnmute} />;
      return peers.size === 0
        ? message('You’re the only one here.', 'Send the link to whoever should join.')
        : null;
  }
}

function MutedMessage({ onUnmute }: { onUnmute: () => void }) {
  return (
    <div class="stage-message with-action" role="status">
      <p>You’re muted: nobody hears you.</p>
      <button class="button small" onClick={onUnmute}>
        Turn on the microphone
      </button>
    </div>
  );
}
