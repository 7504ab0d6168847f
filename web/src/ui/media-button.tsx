import type { LocalMedia, DeviceSource, SourceState } from '../room/local-media';
import { useShortcut } from './hooks';
import { CameraIcon, CameraOffIcon, MicIcon, MicOffIcon } from './icons';

const KINDS = {
  mic: { name: 'microphone', key: 'd', On: MicIcon, Off: MicOffIcon },
  camera: { name: 'camera', key: 'e', On: CameraIcon, Off: CameraOffIcon },
};

interface MediaButtonProps {
  source: DeviceSource;
  state: SourceState;
  media: LocalMedia;
}

/** Switches the microphone or the camera on and off; Ctrl+D and Ctrl+E do the same. */
export function MediaButton({ source, state, media }: MediaButtonProps) {
  const { name, key, On, Off } = KINDS[source];
  const toggle = () => void media.setEnabled(source, !(state.enabled || state.starting));
  useShortcut(key, toggle);
  const label = `Turn ${state.enabled ? 'off' : 'on'} ${name}`;
  return (
    <button
      type="button"
      class={`round ${state.enabled ? '' : 'off'} ${state.problem ? 'problem' : ''}`}
      aria-label={label}
      aria-keyshortcuts={`Control+${key.toUpperCase()} Meta+${key.toUpperCase()}`}
      title={`${label} (Ctrl+${key.toUpperCase()})`}
      aria-busy={state.starting}
      onClick={toggle}
    >
      {state.enabled ? <On /> : <Off />}
    </button>
  );
}
