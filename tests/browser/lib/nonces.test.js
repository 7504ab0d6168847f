import assert from 'node:assert/strict';
import { it } from 'node:test';
import { NonceWatch } from './nonces.js';

const SSRC = 7;

function rtp(seq, filling) {
  const packet = Buffer.alloc(40, filling);
  packet.writeUInt16BE(0x906f, 0);
  packet.writeUInt16BE(seq, 2);
  packet.writeUInt32BE(SSRC, 8);
  return packet;
}

function rtcp(index, filling) {
  const packet = Buffer.alloc(40, filling);
  packet.writeUInt16BE(0x80c9, 0);
  packet.writeUInt32BE(SSRC, 4);
  packet.writeUInt32BE(0x8000_0000 + index, packet.length - 4);
  return packet;
}

it('another ciphertext under a nonce is noticed, the same one is not', () => {
  const watch = new NonceWatch();
  const packets = [rtp(1, 1), rtp(2, 2), rtp(1, 1), rtp(2, 3), rtcp(1, 1), rtcp(2, 1), rtcp(2, 9), Buffer.from('stun')];
  for (const packet of packets) watch.note(packet);
  assert.deepEqual([watch.packets, watch.repeated], [7, 1]);
  assert.deepEqual(watch.reused, [`rtp ${SSRC} 2`, `rtcp ${SSRC} ${0x8000_0002}`]);
});
