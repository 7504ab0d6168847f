/** What a transport's RTCStatsReport says, and what it was like between two of them. No state. */

/** A transport at one moment: counters since its beginning. */
export interface Snapshot {
  /** Milliseconds. */
  at: number;
  /** By the streams' MIDs. */
  streams: ReadonlyMap<string, Counters>;
  /** Of the ICE pair in use, in milliseconds. */
  roundTrip: number | null;
  /** The browser's estimate of what it can send, bits per second. */
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
  /** As the receiver of a stream that is sent sees it: share lost, and milliseconds. */
  remote: { loss: number; roundTrip: number | null } | null;
  /** Of a stream that is sent in several encodings. */
  encodings: readonly { rid: string; bytes: number; height: number }[];
}

/** One stream over the last interval. */
export interface StreamFigures {
  /** Bits per second, without RTP headers. */
  bitrate: number;
  /** Null for sound, and while there are no pictures. */
  picture: { width: number; height: number; frameRate: number } | null;
  /** Share of its packets that were lost, 0 to 1. */
  loss: number;
  /** Milliseconds; null while unknown. */
  roundTrip: number | null;
  /** `VP8`, `opus`, … */
  codec: string | null;
  /** Those that run, smallest first; empty for a stream with one encoding. */
  encodings: readonly { rid: string; height: number; bitrate: number }[];
}

/** The fields that are read of the report's entries, whatever their type. */
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

/** What the stream `mid` was like from `before` to `now`; null where that can't be told (yet). */
export function figuresBetween(before: Snapshot, now: Snapshot, mid: string): StreamFigures | null {
  const [old, present] = [before.streams.get(mid), now.streams.get(mid)];
  const seconds = (now.at - before.at) / 1000;
  // The counters start anew when a browser recreates the stream.
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

/** Adds one encoding to those of its stream that came before. Its picture is the largest one's. */
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
