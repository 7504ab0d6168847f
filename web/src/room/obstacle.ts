/** What keeps media from the server, by what the browser tells of its attempts. */

import type { types } from 'mediasoup-client';

export type Obstacle =
  /** The browser has no address to send from. */
  | { what: 'no-network' }
  /** Nothing of what it sent was answered. */
  | { what: 'unreachable'; addresses: string[] }
  /** The server answers, but no secure connection comes about. */
  | { what: 'handshake'; addresses: string[] };

type Candidate = Pick<types.IceCandidate, 'address' | 'ip' | 'port' | 'protocol'>;

/** Addresses of the server as people write them, each once, UDP first: `UDP 192.0.2.1:44444`. */
export function addressesOf(candidates: Candidate[]): string[] {
  const texts = candidates.map(({ address, ip, port, protocol }) => {
    const host = address ?? ip;
    return `${protocol.toUpperCase()} ${host.includes(':') ? `[${host}]` : host}:${port}`;
  });
  return [...new Set(texts)].sort((a, b) => Number(b.startsWith('UDP')) - Number(a.startsWith('UDP')));
}

/** Looks at the statistics of a transport that failed; `addresses` are what the server offered. */
export function obstacleOf(stats: Iterable<{ type: string }>, addresses: string[]): Obstacle {
  let localCandidates = 0;
  let answers = 0;
  for (const stat of stats) {
    if (stat.type === 'local-candidate') localCandidates += 1;
    if (stat.type === 'candidate-pair') answers += (stat as RTCIceCandidatePairStats).responsesReceived ?? 0;
  }
  if (answers > 0) return { what: 'handshake', addresses };
  if (localCandidates === 0) return { what: 'no-network' };
  return { what: 'unreachable', addresses };
}
