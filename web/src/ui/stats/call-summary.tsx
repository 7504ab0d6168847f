import { HISTORY } from '../../stats/monitor';
import type { CallStats, WayFigures } from '../../stats/monitor';
import { bitrateText, millisecondsText } from './format';
import { Sparkline } from './sparkline';

/** Total bitrates of both directions, with the estimated capacity of the network. */
export function CallSummary({ stats }: { stats: CallStats }) {
  return (
    <section class="call-summary" aria-label="Statistics of the call">
      <Way name="Receiving" history={stats.down} />
      <Way name="Sending" history={stats.up} />
    </section>
  );
}

function Way({ name, history }: { name: string; history: readonly WayFigures[] }) {
  const latest = history.at(-1);
  if (!latest) return null;
  const { bitrate, available, roundTrip } = latest;
  const values = history.map((figures) => figures.bitrate);
  const limits = history.map((figures) => figures.available);
  return (
    <div class="way">
      <div>
        <p class="quiet">{name}</p>
        <p>
          <strong>{bitrateText(bitrate)}</strong>
        </p>
        <p class="quiet">
          {available !== null && <span>of {bitrateText(available)}</span>}
          {roundTrip !== null && <span>rtt {millisecondsText(roundTrip)}</span>}
        </p>
      </div>
      <Sparkline
        label={`${name}: bit rate of the last minute`}
        values={values}
        limits={limits}
        capacity={HISTORY}
      />
    </div>
  );
}
