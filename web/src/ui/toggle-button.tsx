import type { ComponentChildren } from 'preact';

interface ToggleButtonProps {
  label: string;
  on: boolean;
  /** A dot: there is something new. */
  mark?: boolean;
  onToggle: (on: boolean) => void;
  children: ComponentChildren;
}

/** A control that shows or hides a part of the call. */
export function ToggleButton({ label, on, mark = false, onToggle, children }: ToggleButtonProps) {
  return (
    <button
      class={`round ${on ? 'on' : ''} ${mark ? 'marked' : ''}`}
      aria-label={label}
      title={label}
      aria-pressed={on}
      onClick={() => onToggle(!on)}
    >
      {children}
    </button>
  );
}
