import { REACTIONS } from '../../room/signals';
import type { Reaction } from '../../room/signals';
import { HandIcon, SmileIcon } from '../icons';
import { Popover } from './popover';
import { SHORTCUTS, keysOf } from './shortcuts';

/** What a screen reader calls them. */
const NAMES: Record<Reaction, string> = {
  '👍': 'Thumbs up',
  '👏': 'Applause',
  '❤️': 'Heart',
  '😂': 'Laughter',
  '😮': 'Surprise',
  '🎉': 'Celebration',
};

interface ReactionsMenuProps {
  handUp: boolean;
  onHand: (up: boolean) => void;
  onReact: (reaction: Reaction) => void;
}

/** Raises a hand, or sends a reaction. */
export function ReactionsMenu({ handUp, onHand, onReact }: ReactionsMenuProps) {
  const label = handUp ? 'Reactions, your hand is raised' : 'Reactions and raising a hand';
  return (
    <Popover label={label} class={`round ${handUp ? 'on' : ''}`} icon={handUp ? <HandIcon /> : <SmileIcon />}>
      {(close) => (
        <>
          <div class="reactions" role="group" aria-label="Reactions">
            {REACTIONS.map((reaction) => (
              <button
                key={reaction}
                aria-label={NAMES[reaction]}
                title={NAMES[reaction]}
                onClick={() => onReact(reaction)}
              >
                {reaction}
              </button>
            ))}
          </div>
          <button
            class="button"
            title={keysOf(SHORTCUTS.hand)}
            onClick={() => {
              close();
              onHand(!handUp);
            }}
          >
            <HandIcon />
            {handUp ? 'Lower your hand' : 'Raise your hand'}
          </button>
        </>
      )}
    </Popover>
  );
}
