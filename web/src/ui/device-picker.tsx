import { useId } from 'preact/hooks';
import type { LocalMedia, LocalMediaState, DeviceSource } from '../room/local-media';

const LABELS: Record<DeviceSource, string> = { mic: 'Microphone', camera: 'Camera' };

interface DevicePickerProps {
  source: DeviceSource;
  state: LocalMediaState;
  media: LocalMedia;
}

/** The choice of one kind of device. */
export function DevicePicker({ source, state, media }: DevicePickerProps) {
  const id = useId();
  const options = state.devices[source];
  const selected = state[source].deviceId;
  return (
    <div class="field">
      <label for={id}>{LABELS[source]}</label>
      <select
        id={id}
        disabled={options.length === 0}
        value={selected ?? ''}
        onChange={(event) => void media.setDevice(source, event.currentTarget.value)}
      >
        {options.length === 0 && <option value="">None available</option>}
        {options.map((option) => (
          <option key={option.id} value={option.id} selected={option.id === selected}>
            {option.label}
          </option>
        ))}
      </select>
    </div>
  );
}
