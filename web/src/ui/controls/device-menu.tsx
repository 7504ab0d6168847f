import type { ComponentChildren } from 'preact';
import { UpIcon } from '../icons';
import { Popover } from './popover';

interface DeviceMenuProps {
  label: string;
  children: ComponentChildren;
  onSettings: () => void;
}

/** The choice of devices beside the button that turns them on and off. */
export function DeviceMenu({ label, children, onSettings }: DeviceMenuProps) {
  return (
    <Popover label={label} class="round narrow" icon={<UpIcon />}>
      {(close) => (
        <>
          {children}
          <button
            class="button small"
            onClick={() => {
              close();
              onSettings();
            }}
          >
            More settings
          </button>
        </>
      )}
    </Popover>
  );
}
