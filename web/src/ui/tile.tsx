import type { ComponentChildren, HTMLAttributes } from 'preact';
import type { CallStats } from '../stats/monitor';
import type { Rect } from './grid-layout';
import { Avatar } from './avatar';
import { BroadcastIcon, MicOffIcon, PinIcon, ScreenIcon } from './icons';
import { TileStats } from './stats/tile-stats';
import type { TileModel } from './tiles';
import { VideoView } from './video-view';

export interface TileProps {
  tile: TileModel;
  rect: Rect;
  /** Whether it is the one that is looked at. */
  large: boolean;
  pinned: boolean;
  onPin: () => void;
  /** Null where they are not wanted. */
  stats: CallStats | null;
  onStopSharing: () => void;
  /** See `RoomClient.showVideo`. */
  onVideoShown: (consumerId: string, lines: number | null) => void;
}

/** One participant, or one shared screen. A click pins it: it is the large one then, until the next click. */
export function Tile({ tile, rect, large, pinned, onPin, stats, onStopSharing, onVideoShown }: TileProps) {
  const isOwnScreen = tile.isSelf && tile.kind === 'screen';
  const stop = (event: Event) => {
    event.stopPropagation();
    onStopSharing();
  };
  const pinLabel = `${pinned ? 'Unpin' : 'Pin'} ${titleOf(tile)}`;
  return (
    <TileFrame tile={tile} rect={rect} large={large} onVideoShown={onVideoShown} onClick={onPin}>
      {stats && <TileStats tile={tile} stats={stats} />}
      <div class="tile-actions">
        {isOwnScreen && (
          <button class="button small danger" onClick={stop}>
            Stop sharing
          </button>
        )}
        <button class={`chip ${pinned ? 'on' : ''}`} aria-label={pinLabel} title={pinLabel}>
          <PinIcon />
        </button>
      </div>
    </TileFrame>
  );
}

type TileFrameProps = Pick<TileProps, 'tile' | 'rect' | 'large' | 'onVideoShown'> & {
  class?: string;
  children?: ComponentChildren;
} & Omit<HTMLAttributes<HTMLLIElement>, 'class' | 'style' | 'children'>;

/** The picture of a tile with its name, in its place. */
export function TileFrame({ tile, rect, large, onVideoShown, class: kind = '', children, ...events }: TileFrameProps) {
  const { peerId, name, isSelf, video, speaking } = tile;
  const isScreen = tile.kind === 'screen';
  const style = {
    transform: `translate(${rect.x}px, ${rect.y}px)`,
    width: `${rect.width}px`,
    height: `${rect.height}px`,
  };
  return (
    <li
      class={`tile ${isScreen ? 'screen' : ''} ${large ? 'large' : ''} ${speaking ? 'speaking' : ''} ${kind}`}
      style={style}
      aria-label={labelOf(tile)}
      {...events}
    >
      {!isScreen && <Avatar id={peerId} name={name} />}
      {video && (
        <VideoView
          track={video}
          mirrored={isSelf && !isScreen}
          box={rect}
          kind={isScreen ? 'screen' : large ? 'large' : 'small'}
          onShown={isSelf ? undefined : (lines) => onVideoShown(tile.streams.video ?? '', lines)}
        />
      )}
      <TileName tile={tile} />
      {children}
    </li>
  );
}

function TileName({ tile }: { tile: TileModel }) {
  const { kind, name, isSelf, isBroadcaster, muted } = tile;
  return (
    <div class={`tile-name ${isBroadcaster || kind === 'screen' ? 'accented' : ''}`} aria-hidden="true">
      {kind === 'screen' ? <ScreenIcon /> : isBroadcaster ? <BroadcastIcon /> : muted && <MicOffIcon />}
      <span>{kind === 'screen' ? (isSelf ? 'Your screen' : `${name}’s screen`) : isSelf ? 'You' : name}</span>
    </div>
  );
}

function titleOf({ kind, name, isSelf }: TileModel): string {
  if (kind === 'screen') return isSelf ? 'your screen' : `the screen of ${name}`;
  return isSelf ? 'yourself' : name;
}

function labelOf({ kind, name, isSelf, isBroadcaster, muted, video, speaking }: TileModel): string {
  if (kind === 'screen') return isSelf ? 'Your screen' : `Screen of ${name}`;
  const parts = [
    isSelf ? `${name} (you)` : name,
    isBroadcaster && 'broadcast',
    muted && !isBroadcaster && 'muted',
    !video && 'camera off',
    speaking && 'speaking',
  ];
  return parts.filter(Boolean).join(', ');
}
