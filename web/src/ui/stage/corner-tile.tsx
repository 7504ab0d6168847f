import { useRef, useState } from 'preact/hooks';
import type { TargetedPointerEvent } from 'preact';
import type { Rect } from './grid-layout';
import { CloseIcon, MoveIcon } from '../icons';
import { cornerAt, cornerTowards } from './stage-layout';
import type { Corner } from './stage-layout';
import { TileFrame } from './tile';
import type { TileProps } from './tile';

type CornerTileProps = {
  rect: Rect;
  stage: { width: number; height: number };
  corner: Corner;
  onCorner: (corner: Corner) => void;
  onHide: () => void;
} & Pick<TileProps, 'tile' | 'handUp' | 'reactions' | 'onVideoShown'>;

/** One's own camera over a corner of the stage. It is moved to another one by dragging, or by arrow keys. */
export function CornerTile({ rect, stage, corner, onCorner, onHide, ...common }: CornerTileProps) {
  const start = useRef({ x: 0, y: 0 });
  const [offset, setOffset] = useState<{ x: number; y: number } | null>(null);

  const onPointerDown = (event: TargetedPointerEvent<HTMLLIElement>) => {
    if (event.button !== 0 || (event.target as Element).closest('button')) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    start.current = { x: event.clientX, y: event.clientY };
    setOffset({ x: 0, y: 0 });
  };
  const onPointerMove = (event: TargetedPointerEvent<HTMLLIElement>) => {
    if (offset) setOffset({ x: event.clientX - start.current.x, y: event.clientY - start.current.y });
  };
  const onPointerUp = () => {
    if (offset) {
      const centre = { x: rect.x + offset.x + rect.width / 2, y: rect.y + offset.y + rect.height / 2 };
      onCorner(cornerAt(stage, centre.x, centre.y));
    }
    setOffset(null);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (!event.key.startsWith('Arrow')) return;
    event.preventDefault();
    onCorner(cornerTowards(corner, event.key));
  };
  const at = offset ? { ...rect, x: rect.x + offset.x, y: rect.y + offset.y } : rect;
  return (
    <TileFrame
      rect={at}
      large={false}
      class={`corner ${offset ? 'dragged' : ''}`}
      {...common}
      onPointerDown={onPointerDown}
      onPointerMove={onPointerMove}
      onPointerUp={onPointerUp}
      onPointerCancel={() => setOffset(null)}
    >
      <div class="tile-actions">
        <button class="chip" aria-label="Move your picture with the arrow keys" title="Move" onKeyDown={onKeyDown}>
          <MoveIcon />
        </button>
        <button class="chip" aria-label="Hide your picture" title="Hide your picture" onClick={onHide}>
          <CloseIcon />
        </button>
      </div>
    </TileFrame>
  );
}
