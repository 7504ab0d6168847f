import { useState } from 'preact/hooks';
import type { LocalMediaState } from '../../room/local-media';
import type { RoomState } from '../../room/state';
import { CloseIcon, WarningIcon } from '../icons';
import { problemTexts } from '../problem-text';

/** What keeps one's own sound or picture from the others. */
export function Notes({ room, local }: { room: RoomState; local: LocalMediaState }) {
  const { mic, camera, screen } = room.sendErrors;
  const notes = problemTexts(local);
  const unsent = { sound: mic, picture: camera, screen };
  for (const [what, why] of Object.entries(unsent)) {
    if (why) notes.push(`Your ${what} is not being sent: ${why.replace(/\.$/, '')}.`);
  }
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
