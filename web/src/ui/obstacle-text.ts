import type { Obstacle } from '../room/obstacle';

/** Text about the cause of a failed media connection, and a remedy. */
export function obstacleTexts(obstacle: Obstacle | null): { text: string; hint: string } {
  switch (obstacle?.what) {
    case 'no-network':
      return {
        text: 'This browser has no network for calls.',
        hint: 'No network interface may be used for media. Check the connection, a VPN, and the browser’s WebRTC settings or extensions.',
      };
    case 'unreachable':
      return {
        text: 'Sound and pictures are blocked.',
        hint: `This browser reaches the server’s page, but not its media port: no answer from ${list(obstacle.addresses)}. A firewall or VPN between here and there may block it; try another network. If nobody gets through, the server’s operator should open these ports and check the address that it announces.`,
      };
    case 'handshake':
      return {
        text: 'Sound and pictures are blocked.',
        hint: `The server answers at ${list(obstacle.addresses)}, but no encrypted connection comes about. A firewall may let only a part through; try another network.`,
      };
    case undefined:
      return {
        text: 'The connection does not last.',
        hint: 'The server can be reached, but the room could not be joined for good. Try again later or from another network.',
      };
  }
}

function list(addresses: string[]): string {
  if (addresses.length < 2) return addresses[0] ?? 'it';
  return `${addresses.slice(0, -1).join(', ')} or ${addresses.at(-1)}`;
}
