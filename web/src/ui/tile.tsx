import type { CallStats } from '../stats/monitor';
import type { Rect } from './grid-layout';
import { Avatar } from './avatar';
import { BroadcastIcon, MicOffIcon } from './icons';
import { TileStats } from './stats/tile-stats';
import type { TileModel } from './tiles';
import { VideoView } from './video-view';

export interface TileProps {
  tile: TileModel;
  rect: Rect;
  /** Null where they are not wanted. */
  stats: CallStats | null;
  /** See `RoomClient.showVideo`. */
  onVideoShown: (consumerId: string, lines: number | null) => void;
}

/** One participant in the grid. */
export function Tile({ tile, rect, stats, onVideoShown }: TileProps) {
  const { peerId, name, isSelf, isBroadcaster, video, muted, speaking } = tile;
  const style = {
    transform: `translate(${rect.x}px, ${rect.y}px)`,
    width: `${rect.width}px`,
    height: `${rect.height}px`,
  };
  const label = [
    isSelf ? `${name} (you)` : name,
    isBroadcaster && 'broadcast',
    muted && !isBroadcaster && 'muted',
    !video && 'camera off',
    speaking && 'speaking',
  ];
  return (
    <li
      class={`tile ${speaking ? 'speaking' : ''}`}
      style={style}
      aria-label={label.filter(Boolean).join(', ')}
    >
      <Avatar id={peerId} name={name} />
      {video && (
        <VideoView
          track={video}
          mirrored={isSelf}
          box={rect}
          onShown={isSelf ? undefined : (lines) => onVideoShown(tile.streams.video ?? '', lines)}
        />
      )}
      {stats && <TileStats tile={tile} stats={stats} />}
      <div class={`tile-name ${isBroadcaster ? 'broadcast' : ''}`} aria-hidden="true">
        {isBroadcaster ? <BroadcastIcon /> : muted && <MicOffIcon />}
        <span>{isSelf ? 'You' : name}</span>
      </div>
    </li>
  );
}
