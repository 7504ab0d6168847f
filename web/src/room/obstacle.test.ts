import { describe, expect, it } from 'vitest';
import { addressesOf, obstacleOf } from './obstacle';

const addresses = ['UDP 192.0.2.1:44444'];

describe('what keeps media from the server', () => {
  it('is this side where the browser has nothing to send from', () => {
    expect(obstacleOf([{ type: 'transport' }], addresses)).toEqual({ what: 'no-network' });
  });

  it('is the way where nothing is answered', () => {
    const pair = { type: 'candidate-pair', requestsSent: 9, responsesReceived: 0 };
    expect(obstacleOf([{ type: 'local-candidate' }, pair], addresses)).toEqual({ what: 'unreachable', addresses });
  });

  it('is the handshake where checks are answered', () => {
    const pair = { type: 'candidate-pair', responsesReceived: 3 };
    expect(obstacleOf([{ type: 'local-candidate' }, pair], addresses)).toEqual({ what: 'handshake', addresses });
  });

  it('is named with each address once, UDP first', () => {
    const of = (protocol: 'udp' | 'tcp', address: string) => ({ protocol, address, ip: address, port: 44444 });
    const candidates = [of('tcp', '192.0.2.1'), of('udp', '192.0.2.1'), of('udp', '2001:db8::1'), of('udp', '192.0.2.1')];
    expect(addressesOf(candidates)).toEqual([
      'UDP 192.0.2.1:44444',
      'UDP [2001:db8::1]:44444',
      'TCP 192.0.2.1:44444',
    ]);
  });
});
