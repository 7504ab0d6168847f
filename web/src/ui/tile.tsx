import type { Rect } from './grid-layout';
import { Avatar } from './avatar';
import { MicOffIcon } from './icons';
import type { TileModel } from './tiles';
import { VideoView } from './video-view';

/** One participant in the grid. */
export function Tile({ tile, rect }: { tile: TileModel; rect: Rect }) {
  const { peerId, name, isSelf, video, muted, speaking } = tile;
  const style = {
    transform: `translate(${rect.x}px, ${rect.y}px)`,
    width: `${rect.width}px`,
    height: `${rect.height}px`,
  };
  const label = [
    isSelf ? `${name} (you)` : name,
    muted && 'muted',
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
        <VideoView track={video} mirrored={isSelf} boxRatio={rect.width / rect.height} />
      )}
      <div class="tile-name" aria-hidden="true">
        {muted && <MicOffIcon />}
        <span>{isSelf ? 'You' : name}</span>
      </div>
    </li>
  );
}
