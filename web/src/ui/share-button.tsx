import type { LocalMedia, SourceState } from '../room/local-media';
import { canShareScreen } from '../room/screen-capture';
import { ScreenIcon } from './icons';

interface ShareButtonProps {
  state: SourceState;
  media: LocalMedia;
  /** Called where the browser has no way to share. */
  onImpossible: () => void;
}

/** Shares the screen, or stops sharing it. */
export function ShareButton({ state, media, onImpossible }: ShareButtonProps) {
  const label = state.enabled ? 'Stop sharing your screen' : 'Share your screen';
  const toggle = () => {
    if (state.enabled) media.stopSharing();
    else if (canShareScreen()) void media.share();
    else onImpossible();
  };
  return (
    <button
      class={`round ${state.enabled ? 'on' : ''}`}
      aria-label={label}
      title={label}
      aria-busy={state.starting}
      onClick={toggle}
    >
      <ScreenIcon />
    </button>
  );
}
