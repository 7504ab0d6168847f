import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { ReactionState } from '../../room/state';
import { arrange, inOrderOf, pageOf, withSpeakerInFront } from './arrangement';
import type { Arrangement, Capacity } from './arrangement';
import { CornerTile } from './corner-tile';
import { layoutGrid } from './grid-layout';
import type { Rect } from './grid-layout';
import { useElementSize } from '../hooks';
import { PageControl } from './page-control';
import { capacityOf, layoutCorner, layoutStage } from './stage-layout';
import { Tile } from './tile';
import type { TileProps } from './tile';
import type { TileModel } from './tiles';
import type { ViewChoice } from './use-view';
import { shownLines } from './video-view';

/** Between tiles, in CSS pixels: less where there are many. */
const gapFor = (count: number) => (count > 12 ? 6 : 10);

/** What the controls below take of the window's height, about, in CSS pixels. */
const CONTROLS_HEIGHT = 90;

/** The page control, where there is one, in CSS pixels. */
const PAGE_CONTROL_HEIGHT = 44;

/** With how many lines, in device pixels, a video will be shown once a call with so many others is on the screen. */
export function expectedLines(others: number): number {
  const area = { width: innerWidth, height: innerHeight - CONTROLS_HEIGHT };
  if (others <= 1) return shownLines(area, undefined, 'large');
  const count = Math.min(others + 1, capacityOf(area, gapFor(others)).grid);
  const [rect] = layoutGrid({ ...area, count, gap: gapFor(count) });
  return rect ? shownLines(rect) : Infinity;
}

type StageProps = {
  tiles: TileModel[];
  view: ViewChoice;
  /** Peer ids of the others who spoke, the last one first. */
  spoke: readonly string[];
  /** See `RoomState`. */
  hands: ReadonlyMap<string, number>;
  reactions: readonly ReactionState[];
  onView: (change: Partial<ViewChoice>) => void;
  /** See `RoomClient.expectVideo`. */
  onVideoExpected: (lines: number) => void;
} & Pick<TileProps, 'stats' | 'onVideoShown' | 'onStopSharing'>;

/** The tiles of a call, without scrolling: what does not fit is on further pages. */
export function Stage({ tiles, view, spoke, hands, reactions, onView, onVideoExpected, ...common }: StageProps) {
  const [ref, size] = useElementSize<HTMLDivElement>();
  const [page, setPage] = useState(0);
  const arranged = useArrangement(tiles, view, spoke, size);
  const { focus, corner, capacity } = arranged;
  const shown = pageOf(arranged.tiles, page, focus ? capacity.beside : capacity.grid);
  const count = shown.items.length;
  const height = size.height - (shown.count > 1 ? PAGE_CONTROL_HEIGHT : 0);
  const area = useMemo(() => ({ width: size.width, height }), [size.width, height]);
  const rects = useMemo(
    () => layoutStage(area, focus !== null, count, gapFor(tiles.length)),
    [area, focus !== null, count, gapFor(tiles.length)],
  );
  useLayoutEffect(() => {
    const [rect = rects.focus] = rects.tiles;
    if (rect) onVideoExpected(shownLines(rect));
  }, [rects]);

  // Over the large tile, beside which it hides nobody.
  const cornerArea = rects.focus ?? area;
  const places = new Map<string, Rect>();
  if (focus && rects.focus) places.set(focus.key, rects.focus);
  for (const [index, { key }] of shown.items.entries()) {
    const rect = rects.tiles[index];
    if (rect) places.set(key, rect);
  }
  const gesturesOf = ({ kind, peerId }: TileModel) => ({
    handUp: kind === 'camera' && hands.has(peerId),
    reactions: kind === 'camera' ? reactions.filter((reaction) => reaction.peerId === peerId) : [],
  });
  return (
    <div class="stage" ref={ref}>
      <ul aria-label="Participants">
        {/* In the order of the room, wherever they are: elements that stay in place keep their picture. */}
        {tiles.map((tile) => {
          const rect = places.get(tile.key);
          const pinned = view.pinned === tile.key;
          return (
            rect && (
              <Tile
                key={tile.key}
                tile={tile}
                rect={rect}
                large={tile === focus}
                pinned={pinned}
                onPin={() => onView({ pinned: pinned ? null : tile.key })}
                {...gesturesOf(tile)}
                {...common}
              />
            )
          );
        })}
        {corner && size.width > 0 && (
          <CornerTile
            key={corner.key}
            tile={corner}
            {...gesturesOf(corner)}
            stage={cornerArea}
            rect={layoutCorner(cornerArea, view.corner, focus ? undefined : rects.tiles[0]?.width)}
            corner={view.corner}
            onCorner={(corner) => onView({ corner })}
            onHide={() => onView({ selfView: 'hidden' })}
            onVideoShown={common.onVideoShown}
          />
        )}
      </ul>
      {shown.count > 1 && <PageControl index={shown.index} count={shown.count} onPage={setPage} />}
    </div>
  );
}

type Arranged = Arrangement & { capacity: Capacity };

/** The arrangement of the tiles in an area, in which those who speak come to the first page. */
function useArrangement(
  tiles: TileModel[],
  view: ViewChoice,
  spoke: readonly string[],
  { width, height }: { width: number; height: number },
): Arranged {
  const order = useRef<string[]>([]);
  return useMemo(() => {
    const gap = gapFor(tiles.length);
    const whole = capacityOf({ width, height }, gap);
    const paged = capacityOf({ width, height: height - PAGE_CONTROL_HEIGHT }, gap);
    const capacity = {
      grid: tiles.length <= whole.grid ? whole.grid : paged.grid,
      beside: tiles.length - 1 <= whole.beside ? whole.beside : paged.beside,
    };
    const chosen = { ...view, speaker: spoke[0] ?? null };
    const { focus, tiles: inside, corner } = arrange(tiles, chosen, capacity);
    const size = focus ? capacity.beside : capacity.grid;
    const others = inside.filter((tile) => !tile.isSelf);
    const keys = others.map((tile) => tile.key);
    const spokeHere = spoke.filter((id) => keys.includes(id));
    order.current = withSpeakerInFront(inOrderOf(order.current, keys), spokeHere, size);
    const place = (tile: TileModel) => order.current.indexOf(tile.key);
    others.sort((a, b) => place(a) - place(b));
    // One's own come last, where the others don't move them.
    return { focus, tiles: [...others, ...inside.filter((tile) => tile.isSelf)], corner, capacity };
  }, [tiles, view, spoke, width, height]);
}
