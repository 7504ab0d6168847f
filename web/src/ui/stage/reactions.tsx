import { useEffect, useState } from 'preact/hooks';
import type { ReactionState } from '../../room/state';

const SHOWN_MS = 4000;

/** The reactions of a participant rise over the tile for a moment; those from before it was there don't. */
export function Reactions({ all }: { all: readonly ReactionState[] }) {
  const newest = all.at(-1)?.id ?? 0;
  const [seen, setSeen] = useState(newest);
  useEffect(() => {
    if (newest === seen) return;
    const timer = setTimeout(() => setSeen(newest), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [newest]);
  const shown = all.filter(({ id }) => id > seen);
  if (shown.length === 0) return null;
  return (
    <div class="rising" role="status">
      {shown.map(({ id, reaction }) => (
        <span key={id} style={{ left: `${(id * 37) % 70}%` }}>
          {reaction}
        </span>
      ))}
    </div>
  );
}
