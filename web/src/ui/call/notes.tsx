import { useState } from 'preact/hooks';
import type { LocalMediaState } from '../../room/local-media';
import type { RoomState } from '../../room/state';
import { CloseIcon, WarningIcon } from '../icons';
import { problemTexts } from '../problem-text';

/** What keeps one's own sound or picture from the others. */
export function Notes({ room, local }: { room: RoomState; local: LocalMediaState }) {
  const { mic, camera, screen } = room.sendErrors;
  const notes = problemTexts(local);
  if (mic) notes.push(`Your sound is not being sent: ${mic}.`);
  if (camera) notes.push(`Your picture is not being sent: ${camera}.`);
  if (screen) notes.push(`Your screen is not being sent: ${screen}.`);
  const key = notes.join('\n');
  const [dismissed, setDismissed] = useState('');
  if (notes.length === 0 || dismissed === key) return null;
  return (
    <div class="notes" role="alert">
      <WarningIcon />
      <div>
        {notes.map((note) => (
          <p key={note}>{note}</p>
        ))}
      </div>
      <button class="button small" aria-label="Dismiss" onClick={() => setDismissed(key)}>
        <CloseIcon />
      </button>
    </div>
  );
}
