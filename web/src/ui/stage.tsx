import { useLayoutEffect, useMemo } from 'preact/hooks';
import { layoutGrid } from './grid-layout';
import { useElementSize } from './hooks';
import { Tile } from './tile';
import type { TileProps } from './tile';
import type { TileModel } from './tiles';
import { shownLines } from './video-view';

/** Between tiles, in CSS pixels: less where there are many. */
const gapFor = (count: number) => (count > 12 ? 6 : 10);

/** What the controls below take of the window's height, about, in CSS pixels. */
const CONTROLS_HEIGHT = 90;

/** With how many lines, in device pixels, a video will be shown once a call with so many others is on the screen. */
export function expectedLines(others: number): number {
  const count = others + 1;
  const area = { width: innerWidth, height: innerHeight - CONTROLS_HEIGHT };
  const [rect] = layoutGrid({ ...area, count, gap: gapFor(count) });
  return rect ? shownLines(rect) : Infinity;
}

type StageProps = {
  tiles: TileModel[];
  /** See `RoomClient.expectVideo`. */
  onVideoExpected: (lines: number) => void;
} & Pick<TileProps, 'stats' | 'onVideoShown'>;

/** All tiles at once, without scrolling, however many there are. */
export function Stage({ tiles, stats, onVideoShown, onVideoExpected }: StageProps) {
  const [ref, { width, height }] = useElementSize<HTMLUListElement>();
  const count = tiles.length;
  const rects = useMemo(
    () => layoutGrid({ width, height, count, gap: gapFor(count) }),
    [width, height, count],
  );
  useLayoutEffect(() => {
    const [rect] = rects;
    if (rect) onVideoExpected(shownLines(rect));
  }, [rects]);
  return (
    <ul class="stage" ref={ref} aria-label="Participants">
      {tiles.map((tile, index) => {
        const rect = rects[index];
        return (
          rect && (
            <Tile key={tile.key} tile={tile} rect={rect} stats={stats} onVideoShown={onVideoShown} />
          )
        );
      })}
    </ul>
  );
}
