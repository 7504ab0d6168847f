import { describe, expect, it } from 'vitest';
import { addressesOf, obstacleOf } from './obstacle';

const addresses = ['UDP 192.0.2.1:44444'];

describe('the cause of a failed media connection', () => {
  it('is the local network if the browser has no address', () => {
    expect(obstacleOf([{ type: 'transport' }], addresses)).toEqual({ what: 'no-network' });
  });

  it('is the path if nothing is answered', () => {
    const pair = { type: 'candidate-pair', requestsSent: 9, responsesReceived: 0 };
    expect(obstacleOf([{ type: 'local-candidate' }, pair], addresses)).toEqual({ what: 'unreachable', addresses });
  });

  it('is the handshake if checks are answered', () => {
    const pair = { type: 'candidate-pair', responsesReceived: 3 };
    expect(obstacleOf([{ type: 'local-candidate' }, pair], addresses)).toEqual({ what: 'handshake', addresses });
  });

  it('contains each address once, UDP first', () => {
    const of = (protocol: 'udp' | 'tcp', address: string) => ({ protocol, address, ip: address, port: 44444 });
    const candidates = [of('tcp', '192.0.2.1'), of('udp', '192.0.2.1'), of('udp', '2001:db8::1'), of('udp', '192.0.2.1')];
    expect(addressesOf(candidates)).toEqual([
      'UDP 192.0.2.1:44444',
      'UDP [2001:db8::1]:44444',
      'TCP 192.0.2.1:44444',
    ]);
  });
});
