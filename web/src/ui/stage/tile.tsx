import type { ComponentChildren, HTMLAttributes } from 'preact';
import type { ReactionState } from '../../room/state';
import type { CallStats } from '../../stats/monitor';
import type { Rect } from './grid-layout';
import { Avatar } from '../avatar';
import { BroadcastIcon, HandIcon, MicOffIcon, PinIcon, ScreenIcon } from '../icons';
import { Reactions } from './reactions';
import { TileStats } from '../stats/tile-stats';
import type { TileModel } from './tiles';
import { VideoView } from './video-view';

export interface TileProps {
  tile: TileModel;
  rect: Rect;
  /** Whether it is the one that is looked at. */
  large: boolean;
  pinned: boolean;
  handUp: boolean;
  /** Those of its owner, old ones included. */
  reactions: readonly ReactionState[];
  onPin: () => void;
  /** Null where they are not wanted. */
  stats: CallStats | null;
  onStopSharing: () => void;
  /** See `RoomClient.showVideo`. */
  onVideoShown: (consumerId: string, lines: number | null) => void;
}

/** One participant, or one shared screen. A click pins it: it is the large one then, until the next click. */
export function Tile({ pinned, onPin, stats, onStopSharing, ...frame }: TileProps) {
  const { tile } = frame;
  const isOwnScreen = tile.isSelf && tile.kind === 'screen';
  const stop = (event: Event) => {
    event.stopPropagation();
    onStopSharing();
  };
  const pinLabel = `${pinned ? 'Unpin' : 'Pin'} ${titleOf(tile)}`;
  return (
    <TileFrame {...frame} onClick={onPin}>
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

type TileFrameProps = Pick<TileProps, 'tile' | 'rect' | 'large' | 'handUp' | 'reactions' | 'onVideoShown'> & {
  class?: string;
  children?: ComponentChildren;
} & Omit<HTMLAttributes<HTMLLIElement>, 'class' | 'style' | 'children'>;

/** The picture of a tile with its name, in its place. */
export function TileFrame(props: TileFrameProps) {
  const { tile, rect, large, handUp, reactions, onVideoShown, class: kind = '', children, ...events } = props;
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
      aria-label={labelOf(tile, handUp)}
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
      <Reactions all={reactions} />
      <TileName tile={tile} handUp={handUp} />
      {children}
    </li>
  );
}

function TileName({ tile, handUp }: { tile: TileModel; handUp: boolean }) {
  const { kind, name, isSelf, isBroadcaster, muted } = tile;
  return (
    <div class={`tile-name ${isBroadcaster || kind === 'screen' ? 'accented' : ''} ${handUp ? 'hand-up' : ''}`} aria-hidden="true">
      {handUp && <HandIcon />}
      {kind === 'screen' ? <ScreenIcon /> : isBroadcaster ? <BroadcastIcon /> : muted && <MicOffIcon />}
      <span>{kind === 'screen' ? (isSelf ? 'Your screen' : `${name}’s screen`) : isSelf ? 'You' : name}</span>
    </div>
  );
}

function titleOf({ kind, name, isSelf }: TileModel): string {
  if (kind === 'screen') return isSelf ? 'your screen' : `the screen of ${name}`;
  return isSelf ? 'yourself' : name;
}

function labelOf(tile: TileModel, handUp: boolean): string {
  const { kind, name, isSelf, isBroadcaster, muted, video, speaking } = tile;
  if (kind === 'screen') return isSelf ? 'Your screen' : `Screen of ${name}`;
  const parts = [
    isSelf ? `${name} (you)` : name,
    isBroadcaster && 'broadcast',
    muted && !isBroadcaster && 'muted',
    !video && 'camera off',
    speaking && 'speaking',
    handUp && 'hand raised',
  ];
  return parts.filter(Boolean).join(', ');
}
