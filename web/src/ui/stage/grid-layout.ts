/** Where the tiles of a call go: geometry only. */

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface GridOptions {
  width: number;
  height: number;
  count: number;
  /** Between tiles; the edges have none. */
  gap: number;
}

/** Tiles are between these ratios of width to height. Upright screens allow squarer ones. */
const WIDEST = 16 / 9;
const NARROWEST = 4 / 3;
const NARROWEST_UPRIGHT = 4 / 5;

/** What a tile shows decides on how much of it may be cut off. */
export type PictureKind =
  /** A camera in a tile of many. */
  | 'small'
  /** The camera that is looked at. */
  | 'large'
  /** Text, of which nothing may be cut off. */
  | 'screen';

/** Filling a tile may not cut off more than leaves this share of the picture. */
const LEAST_VISIBLE: Record<PictureKind, number> = { small: 0.4, large: 0.8, screen: 1 };

/**
 * Fits equal tiles into the area, as large as they get, rows centred. Of all column counts the one
 * with the largest tiles wins.
 */
export function layoutGrid({ width, height, count, gap }: GridOptions): Rect[] {
  if (count <= 0 || width <= 0 || height <= 0) return [];
  const narrowest = height > width ? NARROWEST_UPRIGHT : NARROWEST;

  let best = { columns: 1, tile: { width: 0, height: 0 } };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const tile = fitTile(
      (width - gap * (columns - 1)) / columns,
      (height - gap * (rows - 1)) / rows,
      narrowest,
    );
    if (tile.width * tile.height > best.tile.width * best.tile.height) best = { columns, tile };
  }
  return place(best.tile, best.columns, { width, height, count, gap });
}

/** The largest tile of an allowed ratio in a cell. */
function fitTile(cellWidth: number, cellHeight: number, narrowest: number) {
  if (cellWidth <= 0 || cellHeight <= 0) return { width: 0, height: 0 };
  const ratio = cellWidth / cellHeight;
  if (ratio > WIDEST) return { width: cellHeight * WIDEST, height: cellHeight };
  if (ratio < narrowest) return { width: cellWidth, height: cellWidth / narrowest };
  return { width: cellWidth, height: cellHeight };
}

function place(
  tile: { width: number; height: number },
  columns: number,
  { width, height, count, gap }: GridOptions,
): Rect[] {
  const rows = Math.ceil(count / columns);
  const top = (height - rows * tile.height - gap * (rows - 1)) / 2;
  return Array.from({ length: count }, (_, index) => {
    const row = Math.floor(index / columns);
    const inRow = Math.min(columns, count - row * columns);
    const left = (width - inRow * tile.width - gap * (inRow - 1)) / 2;
    return {
      x: left + (index % columns) * (tile.width + gap),
      y: top + row * (tile.height + gap),
      ...tile,
    };
  });
}

/**
 * How a video goes into its tile: filling it (`cover`) as long as enough of the picture stays in
 * view, whole (`contain`) otherwise, as for a phone held upright.
 */
export function videoFit(videoRatio: number, tileRatio: number, kind: PictureKind = 'small'): 'cover' | 'contain' {
  const visible = Math.min(videoRatio / tileRatio, tileRatio / videoRatio);
  return visible > LEAST_VISIBLE[kind] ? 'cover' : 'contain';
}

/** The height at which a whole video is drawn in its tile, in the tile's pixels; more than it for `cover`. */
export function pictureHeight(
  videoRatio: number,
  tile: { width: number; height: number },
  kind: PictureKind = 'small',
): number {
  const heights = [tile.height, tile.width / videoRatio];
  const fit = videoFit(videoRatio, tile.width / tile.height, kind);
  return fit === 'cover' ? Math.max(...heights) : Math.min(...heights);
}
