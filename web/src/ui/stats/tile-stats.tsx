import { HISTORY } from '../../stats/monitor';
import type { CallStats } from '../../stats/monitor';
import type { StreamFigures } from '../../stats/report';
import type { TileModel } from '../stage/tiles';
import { bitrateText, lossText, millisecondsText } from './format';
import { Sparkline } from './sparkline';

/** Loss and round trip time in ms above which a figure is highlighted. */
const HIGH_LOSS = 0.02;
const LONG_ROUND_TRIP = 300;

/** Figures of a participant's streams in a corner of the tile. Small tiles show only the main ones. */
export function TileStats({ tile, stats }: { tile: TileModel; stats: CallStats }) {
  const video = stats.streams.get(tile.streams.video ?? '') ?? [];
  const audio = stats.streams.get(tile.streams.audio ?? '') ?? [];
  const [picture, sound] = [video.at(-1), audio.at(-1)];
  if (!picture && !sound) return null;
  return (
    <div class="tile-stats" aria-hidden="true">
      {picture && <VideoFigures figures={picture} history={video} layers={tile.layers} />}
      {sound && (
        <p class="more">
          Sound {bitrateText(sound.bitrate)} <Loss share={sound.loss} />
          {!picture && <RoundTrip milliseconds={sound.roundTrip} />}
        </p>
      )}
    </div>
  );
}

interface VideoFiguresProps {
  figures: StreamFigures;
  history: readonly StreamFigures[];
  layers: string | null;
}

function VideoFigures({ figures, history, layers }: VideoFiguresProps) {
  const { bitrate, picture, loss, roundTrip, codec, encodings } = figures;
  const sending = encodings.length > 1 ? encodings.map(({ height }) => height).join(' + ') : null;
  return (
    <>
      <div class="rate">
        <strong>{bitrateText(bitrate)}</strong>
        <Sparkline
          label="Bit rate of the last minute"
          values={history.map((figures) => figures.bitrate)}
          capacity={HISTORY}
        />
      </div>
      {picture && (
        <p>
          {picture.width}×{picture.height} <span class="quiet">at</span> {picture.frameRate} fps
          {layers && <span class="layers">{layers}</span>}
        </p>
      )}
      <p class="more">
        {codec} <Loss share={loss} /> <RoundTrip milliseconds={roundTrip} />
      </p>
      {sending && <p class="more">Sending {sending} lines</p>}
    </>
  );
}

function Loss({ share }: { share: number }) {
  return (
    <span class={share > HIGH_LOSS ? 'bad' : ''}>
      <span class="quiet">loss</span> {lossText(share)}
    </span>
  );
}

function RoundTrip({ milliseconds }: { milliseconds: number | null }) {
  if (milliseconds === null) return null;
  return (
    <span class={milliseconds > LONG_ROUND_TRIP ? 'bad' : ''}>
      <span class="quiet">rtt</span> {millisecondsText(milliseconds)}
    </span>
  );
}
