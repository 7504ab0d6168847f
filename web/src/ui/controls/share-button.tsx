import type { SourceState } from '../../room/local-media';
import { ScreenIcon } from '../icons';
import { SHORTCUTS, ariaKeysOf, keysOf } from './shortcuts';

interface ShareButtonProps {
  state: SourceState;
  /** Shares the screen, or stops. */
  onShare: () => void;
}

export function ShareButton({ state, onShare }: ShareButtonProps) {
  const label = state.enabled ? 'Stop sharing your screen' : 'Share your screen';
  return (
    <button
      class={`round share ${state.enabled ? 'on' : ''}`}
      aria-label={label}
      aria-keyshortcuts={ariaKeysOf(SHORTCUTS.share)}
      title={`${label} (${keysOf(SHORTCUTS.share)})`}
      aria-busy={state.starting}
      onClick={onShare}
    >
      <ScreenIcon />
    </button>
  );
}
