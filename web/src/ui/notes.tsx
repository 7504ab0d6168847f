import { useState } from 'preact/hooks';
import { SOURCES } from '../room/local-media';
import type { LocalMediaState } from '../room/local-media';
import type { RoomState } from '../room/state';
import { CloseIcon, WarningIcon } from './icons';
import { problemText } from './problem-text';

/** What keeps one's own sound or picture from the others. */
export function Notes({ room, local }: { room: RoomState; local: LocalMediaState }) {
  const notes = SOURCES.flatMap((source) => {
    const { problem } = local[source];
    const error = room.sendErrors[source];
    if (problem) return [problemText(source, problem)];
    return error ? [`Your ${source} is not being sent: ${error}.`] : [];
  });
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
