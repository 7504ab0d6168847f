import { useId } from 'preact/hooks';
import type { DeviceSource, LocalMedia, LocalMediaState } from '../../room/local-media';

const LABELS = { mic: 'Microphone', camera: 'Camera', speaker: 'Speaker' };

interface DevicePickerProps {
  kind: DeviceSource | 'speaker';
  state: LocalMediaState;
  media: LocalMedia;
}

/** The choice of one kind of device. */
export function DevicePicker({ kind, state, media }: DevicePickerProps) {
  const id = useId();
  const options = state.devices[kind];
  const chosen = kind === 'speaker' ? state.speakerId : state[kind].deviceId;
  // Until one is chosen, browsers take the first.
  const selected = chosen ?? options[0]?.id;
  const choose = (deviceId: string) => {
    if (kind === 'speaker') media.setSpeaker(deviceId);
    else void media.setDevice(kind, deviceId);
  };
  return (
    <div class="field">
      <label for={id}>{LABELS[kind]}</label>
      <select
        id={id}
        disabled={options.length === 0}
        value={selected ?? ''}
        onChange={(event) => choose(event.currentTarget.value)}
      >
        {options.length === 0 && <option value="">{emptyText(kind, state)}</option>}
        {options.map((option) => (
          <option key={option.id} value={option.id} selected={option.id === selected}>
            {option.label}
          </option>
        ))}
      </select>
    </div>
  );
}

function emptyText(kind: DevicePickerProps['kind'], state: LocalMediaState): string {
  if (kind === 'speaker') return 'As the system has it';
  if (state[kind].starting) return 'Waiting for your permission…';
  return state[kind].problem === 'denied' ? 'Blocked by the browser' : 'None available';
}
