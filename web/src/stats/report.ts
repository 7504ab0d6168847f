/** Snapshots of a transport's RTCStatsReport, and figures from the difference of two snapshots. Contains no state. */

/** Counters of a transport at one time. */
export interface Snapshot {
  /** Milliseconds. */
  at: number;
  /** Counters of streams by MID. */
  streams: ReadonlyMap<string, Counters>;
  /** Round trip time of the selected ICE pair, in milliseconds. */
  roundTrip: number | null;
  /** Browser's estimate of the available outgoing bitrate, in bits per second. */
  available: number | null;
}

export interface Counters {
  bytes: number;
  packets: number;
  lost: number;
  frames: number;
  width: number;
  height: number;
  codec: string | null;
  /** Reports of the receiver of a sent stream: fraction lost, and round trip time in milliseconds. */
  remote: { loss: number; roundTrip: number | null } | null;
  /** Encodings of a sent simulcast stream. */
  encodings: readonly { rid: string; bytes: number; height: number }[];
}

/** Figures of one stream in the last interval. */
export interface StreamFigures {
  /** Bits per second, without RTP headers. */
  bitrate: number;
  /** Null for audio, and while there are no frames. */
  picture: { width: number; height: number; frameRate: number } | null;
  /** Fraction of lost packets, 0 to 1. */
  loss: number;
  /** Milliseconds; null while unknown. */
  roundTrip: number | null;
  /** `VP8`, `opus`, … */
  codec: string | null;
  /** Active encodings, smallest first; empty for a stream with one encoding. */
  encodings: readonly { rid: string; height: number; bitrate: number }[];
}

/** Fields that are read from entries of the report, whatever their type. */
interface Entry {
  id: string;
  type: string;
  timestamp: number;
  mid?: string;
  rid?: string;
  codecId?: string;
  localId?: string;
  mimeType?: string;
  bytesReceived?: number;
  bytesSent?: number;
  packetsReceived?: number;
  packetsSent?: number;
  packetsLost?: number;
  fractionLost?: number;
  framesDecoded?: number;
  framesEncoded?: number;
  frameWidth?: number;
  frameHeight?: number;
  roundTripTime?: number;
  currentRoundTripTime?: number;
  availableOutgoingBitrate?: number;
  nominated?: boolean;
  state?: string;
}

export function readReport(report: RTCStatsReport): Snapshot {
  const entries = new Map<string, Entry>();
  (report as unknown as ReadonlyMap<string, Entry>).forEach((entry) => entries.set(entry.id, entry));
  const all = [...entries.values()];
  const codecOf = ({ codecId }: Entry) =>
    entries.get(codecId ?? '')?.mimeType?.replace(/^.*\//, '') ?? null;

  const streams = new Map<string, Counters>();
  for (const entry of all) {
    if (entry.mid === undefined) continue;
    if (entry.type === 'inbound-rtp') {
      streams.set(entry.mid, received(entry, codecOf(entry)));
    } else if (entry.type === 'outbound-rtp') {
      const remote = all.find((other) => other.type === 'remote-inbound-rtp' && other.localId === entry.id);
      streams.set(entry.mid, sent(streams.get(entry.mid), entry, remote, codecOf(entry)));
    }
  }
  const pair = all.find(
    (entry) => entry.type === 'candidate-pair' && entry.nominated && entry.state === 'succeeded',
  );
  return {
    at: Math.max(0, ...all.map((entry) => entry.timestamp)),
    streams,
    roundTrip: milliseconds(pair?.currentRoundTripTime),
    available: pair?.availableOutgoingBitrate ?? null,
  };
}

/** Figures of the stream `mid` between two snapshots; null if there are not enough data (yet). */
export function figuresBetween(before: Snapshot, now: Snapshot, mid: string): StreamFigures | null {
  const [old, present] = [before.streams.get(mid), now.streams.get(mid)];
  const seconds = (now.at - before.at) / 1000;
  // The counters restart when a browser recreates the stream.
  if (!old || !present || seconds <= 0 || present.bytes < old.bytes) return null;

  const rate = (count: number, earlier: number) => Math.max(0, count - earlier) / seconds;
  const lost = Math.max(0, present.lost - old.lost);
  const packets = present.packets - old.packets;
  const frameRate = Math.round(rate(present.frames, old.frames));
  const { width, height } = present;
  return {
    bitrate: 8 * rate(present.bytes, old.bytes),
    picture: height > 0 ? { width, height, frameRate } : null,
    loss: present.remote?.loss ?? (lost > 0 ? lost / (lost + packets) : 0),
    roundTrip: present.remote?.roundTrip ?? now.roundTrip,
    codec: present.codec,
    encodings: present.encodings
      .map(({ rid, bytes, height }) => {
        const earlier = old.encodings.find((encoding) => encoding.rid === rid)?.bytes ?? 0;
        return { rid, height, bitrate: 8 * rate(bytes, earlier) };
      })
      .filter(({ bitrate }) => bitrate > 0)
      .sort((a, b) => a.height - b.height),
  };
}

function received(entry: Entry, codec: string | null): Counters {
  return {
    bytes: entry.bytesReceived ?? 0,
    packets: entry.packetsReceived ?? 0,
    lost: entry.packetsLost ?? 0,
    frames: entry.framesDecoded ?? 0,
    width: entry.frameWidth ?? 0,
    height: entry.frameHeight ?? 0,
    codec,
    remote: null,
    encodings: [],
  };
}

/** Adds an encoding to its stream. The size of the largest encoding is that of the stream. */
function sent(
  others: Counters | undefined,
  entry: Entry,
  remote: Entry | undefined,
  codec: string | null,
): Counters {
  const bytes = entry.bytesSent ?? 0;
  const height = entry.frameHeight ?? 0;
  const reported = remote && {
    loss: Math.max(others?.remote?.loss ?? 0, remote.fractionLost ?? 0),
    roundTrip: milliseconds(remote.roundTripTime) ?? others?.remote?.roundTrip ?? null,
  };
  const encoding = entry.rid === undefined ? [] : [{ rid: entry.rid, bytes, height }];
  return {
    bytes: bytes + (others?.bytes ?? 0),
    packets: (entry.packetsSent ?? 0) + (others?.packets ?? 0),
    lost: 0,
    frames: Math.max(entry.framesEncoded ?? 0, others?.frames ?? 0),
    width: Math.max(entry.frameWidth ?? 0, others?.width ?? 0),
    height: Math.max(height, others?.height ?? 0),
    codec: codec ?? others?.codec ?? null,
    remote: reported ?? others?.remote ?? null,
    encodings: [...(others?.encodings ?? []), ...encoding],
  };
}

function milliseconds(seconds: number | undefined): number | null {
  return seconds === undefined ? null : seconds * 1000;
}
