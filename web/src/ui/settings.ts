/** What the user has chosen besides devices and layout. */

import { useLayoutEffect, useState } from 'preact/hooks';
import { readPreference, rememberPreference } from './preferences';

export const RECEIVE = ['all', 'small', 'none'] as const;
/** What is received of the others' cameras. Shared screens always come whole. */
export type Receive = (typeof RECEIVE)[number];

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

export interface Settings {
  receive: Receive;
  theme: Theme;
}

/** The settings, which are remembered; and a function that changes some of them. */
export function useSettings(): [Settings, (change: Partial<Settings>) => void] {
  const [settings, setSettings] = useState<Settings>(() => ({
    receive: RECEIVE.find((known) => known === readPreference('receive')) ?? 'all',
    theme: THEMES.find((known) => known === readPreference('theme')) ?? 'system',
  }));
  useLayoutEffect(() => {
    document.documentElement.dataset['theme'] = settings.theme;
  }, [settings.theme]);
  const change = (change: Partial<Settings>) => {
    if (change.receive) rememberPreference('receive', change.receive);
    if (change.theme) rememberPreference('theme', change.theme);
    setSettings((before) => ({ ...before, ...change }));
  };
  return [settings, change];
}

/** A camera of that many lines is small. */
const SMALL_LINES = 180;

/** With how many lines a camera is wanted that is shown with `lines`; null for not at all. */
export function linesWanted(lines: number | null, receive: Receive): number | null {
  if (lines === null || receive === 'none') return null;
  return receive === 'small' ? Math.min(lines, SMALL_LINES) : lines;
}
