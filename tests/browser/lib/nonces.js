/**
 * Watches ciphertexts: under one SRTP key two different packets with one SSRC and index have been sealed with one nonce,
 * which gives their content away. No key is needed to see that.
 */

import { createHash } from 'node:crypto';

/** Packets of an SSRC that are compared. The same sequence number after that many is one of the next cycle. */
const WINDOW = 20_000;

/** RTCP in a stream of RTP (RFC 5761 §4). */
const RTCP_TYPES = { first: 192, last: 223 };

/** What travelled in one direction of one client's line, under one key. */
export class NonceWatch {
  /** Nonces that have sealed two contents: `rtp SSRC SEQ` or `rtcp SSRC INDEX`. */
  reused = [];
  /** Packets that were sent again as they were. */
  repeated = 0;
  /** Packets seen. */
  packets = 0;
  #streams = new Map();

  note(packet) {
    // RFC 7983: 128 to 191 is RTP and RTCP.
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
