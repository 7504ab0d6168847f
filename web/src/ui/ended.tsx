import type { EndReason } from '../room/state';
import { LogoIcon } from './icons';
import { obstacleTexts } from './obstacle-text';

interface EndedProps {
  reason: EndReason;
  roomId: string;
  onRejoin: () => void;
}

/** What the user sees once a call is over, however it ended. */
export function Ended({ reason, roomId, onRejoin }: EndedProps) {
  const { title, text, action } = describe(reason, roomId);
  return (
    <main class="ended">
      <div class="ended-logo">
        <LogoIcon />
      </div>
      <h1>{title}</h1>
      <p role="status">{text}</p>
      <div class="ended-actions">
        {action && (
          <button class="button primary" onClick={onRejoin}>
            {action}
          </button>
        )}
        <a class="button" href="/">
          New room
        </a>
      </div>
    </main>
  );
}

function describe(reason: EndReason, roomId: string) {
  switch (reason.why) {
    case 'left':
      return {
        title: 'You left',
        text: reason.others > 0 ? `The room ${roomId} goes on without you.` : `Nobody else is in the room ${roomId}.`,
        action: 'Rejoin',
      };
    case 'replaced':
      return {
        title: 'In the room already',
        text: 'Another window or device is in this room in your name.',
        action: 'Try again here',
      };
    case 'unsupported-browser':
      return {
        title: 'This browser can’t join',
        text: 'It lacks the WebRTC features that a call needs. A current Chrome, Edge, Firefox or Safari has them.',
        action: null,
      };
    case 'blocked': {
      const { text, hint } = obstacleTexts(reason.obstacle);
      return { title: text, text: hint, action: 'Try again' };
    }
    case 'failed':
      return {
        title: 'Couldn’t join',
        text: `The server refused: ${reason.message}`,
        action: 'Try again',
      };
  }
}
