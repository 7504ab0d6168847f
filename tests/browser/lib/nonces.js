/**
 * Detects reused nonces in ciphertexts: two different packets with the same SSRC and index under one SRTP key were
 * encrypted with one nonce, which reveals their content. The check needs no key.
 */

import { createHash } from 'node:crypto';

/**
 * Number of packets of an SSRC that are compared. The same sequence number after that many belongs to the next cycle.
 */
const WINDOW = 20_000;

/** Packet types of RTCP that is multiplexed with RTP (RFC 5761 §4). */
const RTCP_TYPES = { first: 192, last: 223 };

/** Packets in one direction of one client, under one key. */
export class NonceWatch {
  /** Nonces used for two contents: `rtp SSRC SEQ` or `rtcp SSRC INDEX`. */
  reused = [];
  /** Number of packets that were repeated unchanged. */
  repeated = 0;
  /** Number of packets. */
  packets = 0;
  #streams = new Map();

  note(packet) {
    // RFC 7983: a first byte of 128 to 191 is RTP or RTCP.
    if (packet.length < 12 || packet[0] < 128 || packet[0] > 191) return;
    this.packets += 1;
    const isRtcp = packet[1] >= RTCP_TYPES.first && packet[1] <= RTCP_TYPES.last;
    // With AES-GCM the index of an RTCP packet is at its end (RFC 7714 §9.2).
    const index = isRtcp ? packet.readUInt32BE(packet.length - 4) : packet.readUInt16BE(2);
    const ssrc = packet.readUInt32BE(isRtcp ? 4 : 8);
    const name = `${isRtcp ? 'rtcp' : 'rtp'} ${ssrc}`;
    const stream = this.#streams.get(name) ?? { number: 0, seen: new Map() };
    this.#streams.set(name, stream);
    stream.number += 1;
    const digest = createHash('sha256').update(packet).digest('base64');
    const before = stream.seen.get(index);
    if (before && stream.number - before.number < WINDOW) {
      if (before.digest === digest) this.repeated += 1;
      else this.reused.push(`${name} ${index}`);
    }
    stream.seen.set(index, { digest, number: stream.number });
  }
}
