import { useEffect, useRef, useState } from 'preact/hooks';
import type { LocalMedia, LocalMediaState } from '../room/local-media';
import { DevicePicker } from './device-picker';
import { SettingsIcon } from './icons';

/** The choice of devices during a call. */
export function DeviceMenu({ local, media }: { local: LocalMediaState; media: LocalMedia }) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (!open) return;
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key !== 'Escape') return;
      setOpen(false);
      root.current?.querySelector('button')?.focus();
    };
    const onPointerDown = (event: PointerEvent) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener('keydown', onKeyDown);
    document.addEventListener('pointerdown', onPointerDown);
    return () => {
      document.removeEventListener('keydown', onKeyDown);
      document.removeEventListener('pointerdown', onPointerDown);
    };
  }, [open]);

  return (
    <div class="devices" ref={root}>
      <button
        class="round"
        aria-label="Choose microphone and camera"
        title="Choose microphone and camera"
        aria-expanded={open}
        aria-haspopup="dialog"
        onClick={() => setOpen(!open)}
      >
        <SettingsIcon />
      </button>
      {open && (
        <div class="popover" role="dialog" aria-label="Microphone and camera">
          <DevicePicker source="mic" state={local} media={media} />
          <DevicePicker source="camera" state={local} media={media} />
        </div>
      )}
    </div>
  );
}
