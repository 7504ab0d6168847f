import type { DeviceSource, LocalMedia, SourceState } from '../../room/local-media';
import { CameraIcon, CameraOffIcon, MicIcon, MicOffIcon } from '../icons';
import { SHORTCUTS, ariaKeysOf, keysOf, useShortcut } from './shortcuts';

const KINDS = {
  mic: { name: 'microphone', On: MicIcon, Off: MicOffIcon },
  camera: { name: 'camera', On: CameraIcon, Off: CameraOffIcon },
};

interface MediaButtonProps {
  source: DeviceSource;
  state: SourceState;
  media: LocalMedia;
}

/** Switches the microphone or the camera on and off; Ctrl+D and Ctrl+E do the same. */
export function MediaButton({ source, state, media }: MediaButtonProps) {
  const { name, On, Off } = KINDS[source];
  const shortcut = SHORTCUTS[source];
  const toggle = () => void media.setEnabled(source, !(state.enabled || state.starting));
  useShortcut(source, toggle);
  const label = `Turn ${state.enabled ? 'off' : 'on'} ${name}`;
  const amiss = state.interrupted || (state.problem !== null && state.problem !== 'replaced');
  return (
    <button
      type="button"
      class={`round ${state.enabled ? '' : 'off'} ${amiss ? 'problem' : ''}`}
      aria-label={label}
      aria-keyshortcuts={ariaKeysOf(shortcut)}
      title={`${label} (${keysOf(shortcut)})`}
      aria-busy={state.starting}
      onClick={toggle}
    >
      {state.enabled ? <On /> : <Off />}
    </button>
  );
}
