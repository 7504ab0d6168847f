import { useEffect, useId, useRef } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { CloseIcon } from '../icons';

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}

/** A dialog over the page, which waits meanwhile. Escape and a click beside it close it. */
export function Dialog({ title, onClose, children }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => ref.current?.showModal(), []);
  const onClick = ({ target, currentTarget }: { target: EventTarget | null; currentTarget: EventTarget }) => {
    if (target === currentTarget) onClose();
  };
  return (
    <dialog ref={ref} aria-labelledby={titleId} onClose={onClose} onClick={onClick}>
      <div class="dialog-body">
        <header>
          <h2 id={titleId}>{title}</h2>
          <button class="button small quiet" aria-label="Close" onClick={onClose}>
            <CloseIcon />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
