import type { ComponentChildren } from 'preact';
import { CloseIcon } from '../icons';

interface PanelProps {
  title: string;
  class: string;
  onClose: () => void;
  children: ComponentChildren;
}

/** A part of the call beside the stage, or over it on a phone. */
export function Panel({ title, class: kind, onClose, children }: PanelProps) {
  return (
    <aside class={`panel ${kind}`} aria-label={title}>
      <header>
        <h2>{title}</h2>
        <button class="button small quiet" aria-label={`Close: ${title}`} onClick={onClose}>
          <CloseIcon />
        </button>
      </header>
      {children}
    </aside>
  );
}
