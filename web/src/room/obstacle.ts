/** Causes of a failed media connection, derived from the browser's statistics. */

import type { types } from 'mediasoup-client';

export type Obstacle =
  /** The browser has no network address to send from. */
  | { what: 'no-network' }
  /** No packet to the server was answered. */
  | { what: 'unreachable'; addresses: string[] }
  /** The server answers, but the DTLS handshake fails. */
  | { what: 'handshake'; addresses: string[] };

type Candidate = Pick<types.IceCandidate, 'address' | 'ip' | 'port' | 'protocol'>;

/** Distinct addresses of the server in readable form, UDP first: `UDP 192.0.2.1:44444`. */
export function addressesOf(candidates: Candidate[]): string[] {
  const texts = candidates.map(({ address, ip, port, protocol }) => {
    const host = address ?? ip;
    return `${protocol.toUpperCase()} ${host.includes(':') ? `[${host}]` : host}:${port}`;
  });
  return [...new Set(texts)].sort((a, b) => Number(b.startsWith('UDP')) - Number(a.startsWith('UDP')));
}

/** Finds the cause from the statistics of a failed transport; `addresses` are the server's candidates. */
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
