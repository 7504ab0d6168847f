/** Which tiles of a call are seen, and which of them large: rules only, no geometry. */

import type { TileModel } from './tiles';

export const LAYOUTS = ['auto', 'grid', 'speaker', 'sidebar'] as const;
/**
 * `auto` has all tiles alike, unless there is a reason for a large one: a shared screen, or a single other participant.
 * `speaker` shows the large one alone, `sidebar` the others beside it. What is pinned is large in every layout.
 */
export type Layout = (typeof LAYOUTS)[number];

export const SELF_VIEWS = ['auto', 'corner', 'tile', 'hidden'] as const;
/** Where one's own camera is: small in a corner of the stage, among the other tiles, or nowhere. */
export type SelfView = (typeof SELF_VIEWS)[number];

export interface View {
  layout: Layout;
  selfView: SelfView;
  /** The key of a tile. */
  pinned: string | null;
  /** Who of the others speaks, or has spoken last: a peer id. */
  speaker: string | null;
}

export interface Arrangement {
  /** The large one; null where all are alike. */
  focus: TileModel | null;
  /** The others, or all. */
  tiles: TileModel[];
  /** One's own camera in the corner. */
  corner: TileModel | null;
}

/** How many tiles are seen at a time. */
export interface Capacity {
  grid: number;
  /** Beside a large one. */
  beside: number;
}

export function arrange(all: readonly TileModel[], view: View, capacity: Capacity): Arrangement {
  const focus = focusOf(all, view);
  const alone = all.every((tile) => tile.isSelf);
  const self = all.find((tile) => tile.isSelf && tile.kind === 'camera');
  const beside = focus && view.layout === 'speaker' ? [] : all.filter((tile) => tile !== focus && tile !== self);
  if (!self || self === focus) return { focus, tiles: beside, corner: null };
  if (alone) return { focus, tiles: [...beside, self], corner: null };

  const place = view.selfView === 'auto' ? usualPlace(focus, beside.length, capacity) : view.selfView;
  if (place === 'tile') return { focus, tiles: [...beside, self], corner: null };
  return { focus, tiles: beside, corner: place === 'corner' ? self : null };
}

/** Among the others, unless it would be the only one beside a large tile, or turn to another page with them. */
function usualPlace(focus: TileModel | null, others: number, { grid, beside }: Capacity): SelfView {
  if (focus && others === 0) return 'corner';
  return others + 1 > (focus ? beside : grid) ? 'corner' : 'tile';
}

function focusOf(all: readonly TileModel[], view: View): TileModel | null {
  const pinned = all.find((tile) => tile.key === view.pinned);
  if (pinned) return pinned;
  if (view.layout === 'grid') return null;
  const others = all.filter((tile) => !tile.isSelf);
  const newestScreen = others.findLast((tile) => tile.kind === 'screen');
  if (newestScreen) return newestScreen;
  if (view.layout !== 'auto') return others.find((tile) => tile.peerId === view.speaker) ?? others[0] ?? null;
  return others.length === 1 && view.selfView !== 'tile' ? (others[0] ?? null) : null;
}

/** So many tiles are on a page of the grid at most. */
export const MAX_ON_PAGE = 25;

export interface Page<T> {
  items: T[];
  /** From 0. */
  index: number;
  count: number;
}

/** The page of that index, or the last one if there are fewer. */
export function pageOf<T>(items: readonly T[], index: number, size: number): Page<T> {
  const count = Math.max(1, Math.ceil(items.length / size));
  const shown = Math.min(Math.max(0, index), count - 1);
  return { items: items.slice(shown * size, (shown + 1) * size), index: shown, count };
}

/** Puts `present` in the order of before; those who are new come last. */
export function inOrderOf(before: readonly string[], present: readonly string[]): string[] {
  const known = before.filter((id) => present.includes(id));
  return [...known, ...present.filter((id) => !known.includes(id))];
}

/**
 * Keeps who speaks on the first page: a speaker from further back changes places with the one of the first page that
 * has been silent longest. `order` has peer ids in the order of their tiles, `spoke` those who spoke, the last one first.
 */
export function withSpeakerInFront(order: readonly string[], spoke: readonly string[], size: number): string[] {
  const [speaker] = spoke;
  const at = speaker === undefined ? -1 : order.indexOf(speaker);
  if (speaker === undefined || at < size) return [...order];
  const silence = (id: string) => (spoke.includes(id) ? spoke.indexOf(id) : Infinity);
  let quietest = size - 1;
  for (let place = size - 1; place >= 0; place--) {
    if (silence(order[place] ?? '') > silence(order[quietest] ?? '')) quietest = place;
  }
  const changed = [...order];
  changed[at] = order[quietest] ?? '';
  changed[quietest] = speaker;
  return changed;
}
