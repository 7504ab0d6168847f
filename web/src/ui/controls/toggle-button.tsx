import type { ComponentChildren } from 'preact';
import { SHORTCUTS, ariaKeysOf, keysOf } from './shortcuts';
import type { ShortcutName } from './shortcuts';

interface ToggleButtonProps {
  label: string;
  class?: string;
  shortcut: ShortcutName;
  on: boolean;
  /** How much is new. */
  count?: number;
  onToggle: (on: boolean) => void;
  children: ComponentChildren;
}

/** A control that shows or hides a part of the call. */
export function ToggleButton({ label, class: kind = 'round', shortcut, on, count = 0, onToggle, children }: ToggleButtonProps) {
  return (
    <button
      class={`${kind} ${on ? 'on' : ''}`}
      aria-label={label}
      aria-keyshortcuts={ariaKeysOf(SHORTCUTS[shortcut])}
      title={`${label} (${keysOf(SHORTCUTS[shortcut])})`}
      aria-pressed={on}
      onClick={() => onToggle(!on)}
    >
      {children}
      {count > 0 && (
        <span class="badge" aria-hidden="true">
          {count > 99 ? '99+' : count}
        </span>
      )}
    </button>
  );
}
