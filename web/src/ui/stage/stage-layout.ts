/** Where a large tile and those beside it go: geometry only. */

import { MAX_ON_PAGE } from './arrangement';
import type { Capacity } from './arrangement';
import { layoutGrid } from './grid-layout';
import type { Rect } from './grid-layout';

interface Size {
  width: number;
  height: number;
}

const CAMERA_RATIO = 16 / 9;

/** Small tiles beside the large one: their width in a column, and the sides of squares in a row, of which more fit. */
const SMALL_WIDTH = { least: 132, share: 0.2, most: 264 };
const SMALL_SIDE = { least: 76, share: 0.15, most: 130 };

/** Faces in smaller tiles are no longer recognised. */
const LEAST_IN_GRID = { width: 150, height: 104 };

/** The self view in its corner. */
const CORNER_MARGIN = 12;

/** Of the width of a small tile. */
const MOST_COVERED = 0.6;

/** How many tiles fit into an area. */
export function capacityOf(area: Size, gap: number): Capacity {
  const columns = Math.floor(area.width / LEAST_IN_GRID.width);
  const rows = Math.floor(area.height / LEAST_IN_GRID.height);
  return { grid: Math.min(MAX_ON_PAGE, Math.max(1, columns * rows)), beside: stripOf(area, gap).capacity };
}

export interface StageRects {
  /** Null where there is no large tile. */
  focus: Rect | null;
  /** The other tiles, in their order. */
  tiles: Rect[];
}

/** A grid of `count` tiles; or a large one with `count` beside it, of which no more are placed than fit. */
export function layoutStage(area: Size, hasFocus: boolean, count: number, gap: number): StageRects {
  if (area.width <= 0 || area.height <= 0) return { focus: null, tiles: [] };
  if (!hasFocus) return { focus: null, tiles: layoutGrid({ ...area, count, gap }) };
  return layoutFocus(area, count, gap);
}

interface Strip {
  /** How many small tiles fit. */
  capacity: number;
  /** Whether they are in a column at the side, or in a row below. */
  column: boolean;
  tile: Size;
}

/** What fits beside a large tile: at the side of wide areas, below it in upright ones. */
function stripOf({ width, height }: Size, gap: number): Strip {
  const column = width > height;
  const side = column ? clamp(width * SMALL_WIDTH.share, SMALL_WIDTH) : clamp(height * SMALL_SIDE.share, SMALL_SIDE);
  const tile = { width: side, height: column ? side / CAMERA_RATIO : side };
  const [room, size] = column ? [height, tile.height] : [width, tile.width];
  return { capacity: Math.max(1, Math.floor((room + gap) / (size + gap))), column, tile };
}

function layoutFocus(area: Size, count: number, gap: number): StageRects {
  const whole = { x: 0, y: 0, ...area };
  if (count === 0) return { focus: whole, tiles: [] };
  const { capacity, column, tile } = stripOf(area, gap);
  const placed = Math.min(count, capacity);
  const taken = (column ? tile.height : tile.width) * placed + gap * (placed - 1);
  const start = ((column ? area.height : area.width) - taken) / 2;
  const small = Array.from({ length: placed }, (_, index) => {
    const along = start + index * ((column ? tile.height : tile.width) + gap);
    return column
      ? { x: area.width - tile.width, y: along, ...tile }
      : { x: along, y: area.height - tile.height, ...tile };
  });
  const focus = column
    ? { ...whole, width: Math.max(0, area.width - tile.width - gap) }
    : { ...whole, height: Math.max(0, area.height - tile.height - gap) };
  return { focus, tiles: small };
}

export const CORNERS = ['top-left', 'top-right', 'bottom-left', 'bottom-right'] as const;
export type Corner = (typeof CORNERS)[number];

/**
 * The self view over a corner of an area: in the ratio of a camera, upright where the area is. `under` is the width of
 * the tiles that it lies on, of which it leaves the most in view.
 */
export function layoutCorner(area: Size, corner: Corner, under = Infinity): Rect {
  const upright = area.height > area.width;
  const usual = upright ? Math.min(104, area.width * 0.3) : Math.min(224, Math.max(120, area.width * 0.18));
  const width = Math.min(usual, under * MOST_COVERED);
  const height = upright ? (width * 4) / 3 : width / CAMERA_RATIO;
  return {
    x: corner.endsWith('left') ? CORNER_MARGIN : area.width - width - CORNER_MARGIN,
    y: corner.startsWith('top') ? CORNER_MARGIN : area.height - height - CORNER_MARGIN,
    width,
    height,
  };
}

/** The corner that a point of the stage is nearest to. */
export function cornerAt(area: Size, x: number, y: number): Corner {
  return `${y < area.height / 2 ? 'top' : 'bottom'}-${x < area.width / 2 ? 'left' : 'right'}`;
}

/** The corner that an arrow key moves to from another one. */
export function cornerTowards(corner: Corner, key: string): Corner {
  const [vertical = 'bottom', horizontal = 'right'] = corner.split('-');
  const towards: Record<string, [string, string]> = {
    ArrowUp: ['top', horizontal],
    ArrowDown: ['bottom', horizontal],
    ArrowLeft: [vertical, 'left'],
    ArrowRight: [vertical, 'right'],
  };
  return (towards[key] ?? [vertical, horizontal]).join('-') as Corner;
}

function clamp(size: number, { least, most }: { least: number; most: number }): number {
  return Math.min(most, Math.max(least, size));
}
