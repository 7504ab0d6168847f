import { useState } from 'preact/hooks';
import { LAYOUTS, SELF_VIEWS } from './arrangement';
import type { Layout, SelfView } from './arrangement';
import { readPreference, rememberPreference } from '../preferences';
import { CORNERS } from './stage-layout';
import type { Corner } from './stage-layout';

/** How the user wants to see the call. */
export interface ViewChoice {
  layout: Layout;
  selfView: SelfView;
  corner: Corner;
  /** The key of the tile that is to be large. */
  pinned: string | null;
}

/** The user's view, which is remembered but for what is pinned; and a function that changes a part of it. */
export function useView(): [ViewChoice, (change: Partial<ViewChoice>) => void] {
  const [view, setView] = useState<ViewChoice>(() => ({
    layout: oneOf(LAYOUTS, readPreference('layout'), 'auto'),
    selfView: oneOf(SELF_VIEWS, readPreference('selfView'), 'auto'),
    corner: oneOf(CORNERS, readPreference('corner'), 'bottom-right'),
    pinned: null,
  }));
  const change = (change: Partial<ViewChoice>) => {
    const { layout, selfView, corner } = change;
    if (layout) rememberPreference('layout', layout);
    if (selfView) rememberPreference('selfView', selfView);
    if (corner) rememberPreference('corner', corner);
    setView((before) => ({ ...before, ...change }));
  };
  return [view, change];
}

function oneOf<T extends string>(known: readonly T[], value: string | undefined, usual: T): T {
  return known.find((one) => one === value) ?? usual;
}
