/** The keyboard shortcuts of a call: one table for the keys, the help sheet and the labels of buttons. */

import { useEffect, useRef } from 'preact/hooks';

export interface Shortcut {
  /** What is written on the key. */
  key: string;
  /** Besides Ctrl, or Cmd on a Mac. */
  alt: boolean;
  what: string;
}

export const SHORTCUTS = {
  mic: { key: 'D', alt: false, what: 'Microphone on or off' },
  camera: { key: 'E', alt: false, what: 'Camera on or off' },
  share: { key: 'S', alt: true, what: 'Share the screen, or stop' },
  hand: { key: 'H', alt: true, what: 'Raise or lower your hand' },
  chat: { key: 'C', alt: true, what: 'Show or hide the chat' },
  people: { key: 'P', alt: true, what: 'Show or hide the list of people' },
  fullScreen: { key: 'F', alt: true, what: 'Full screen' },
  help: { key: '/', alt: false, what: 'This list' },
} satisfies Record<string, Shortcut>;

export type ShortcutName = keyof typeof SHORTCUTS;

const IS_MAC = /Mac|iPhone|iPad/.test(globalThis.navigator?.userAgent ?? '');

/** As people read it: `Ctrl+Alt+S`. */
export function keysOf({ key, alt }: Shortcut): string {
  return [IS_MAC ? '⌘' : 'Ctrl', ...(alt ? [IS_MAC ? '⌥' : 'Alt'] : []), key].join('+');
}

/** For `aria-keyshortcuts`. */
export function ariaKeysOf({ key, alt }: Shortcut): string {
  return `${IS_MAC ? 'Meta' : 'Control'}+${alt ? 'Alt+' : ''}${key}`;
}

type Pressed = Pick<
  KeyboardEvent,
  'code' | 'key' | 'ctrlKey' | 'metaKey' | 'altKey' | 'shiftKey' | 'getModifierState'
>;

/** Whether these keys are pressed, and nothing is being typed by AltGr, which counts as Ctrl and Alt. */
export function isPressed({ key, alt }: Shortcut, event: Pressed): boolean {
  // With Alt, some systems type another sign: there it is the key's place that counts.
  const same = alt ? event.code === `Key${key}` : event.key.toUpperCase() === key;
  // Some keyboards have signs on Shift.
  const shift = event.shiftKey && /\p{L}/u.test(key);
  const control = event.ctrlKey !== event.metaKey;
  return same && control && event.altKey === alt && !shift && !event.getModifierState('AltGraph');
}

/** Calls back on a shortcut, instead of what the browser does there. */
export function useShortcut(name: ShortcutName, action: () => void): void {
  const latest = useRef(action);
  latest.current = action;
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (!isPressed(SHORTCUTS[name], event)) return;
      event.preventDefault();
      if (!event.repeat) latest.current();
    };
    window.addEventListener('keydown', onKeyDown);
    return () => window.removeEventListener('keydown', onKeyDown);
  }, [name]);
}
