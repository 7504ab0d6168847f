import { useMemo } from 'preact/hooks';
import { layoutGrid } from './grid-layout';
import { useElementSize } from './hooks';
import { Tile } from './tile';
import type { TileProps } from './tile';
import type { TileModel } from './tiles';

/** Between tiles, in CSS pixels: less where there are many. */
const gapFor = (count: number) => (count > 12 ? 6 : 10);

type StageProps = { tiles: TileModel[] } & Pick<TileProps, 'stats' | 'onVideoShown'>;

/** All tiles at once, without scrolling, however many there are. */
export function Stage({ tiles, stats, onVideoShown }: StageProps) {
  const [ref, { width, height }] = useElementSize<HTMLUListElement>();
  const count = tiles.length;
  const rects = useMemo(
    () => layoutGrid({ width, height, count, gap: gapFor(count) }),
    [width, height, count],
  );
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
