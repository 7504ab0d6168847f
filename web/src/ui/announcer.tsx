import { useEffect, useRef, useState } from 'preact/hooks';
import type { PeerState, RoomState } from '../room/state';

/** Says to screen readers who came and who went. */
export function Announcer({ peers }: { peers: RoomState['peers'] }) {
  const before = useRef(peers);
  const [text, setText] = useState('');
  useEffect(() => {
    const came = missingIn(before.current, peers).map((peer) => `${peer.displayName} joined`);
    const went = missingIn(peers, before.current).map((peer) => `${peer.displayName} left`);
    before.current = peers;
    if (came.length + went.length > 0) setText([...came, ...went].join(', '));
  }, [peers]);
  return (
    <p class="visually-hidden" role="status">
      {text}
    </p>
  );
}

function missingIn(all: RoomState['peers'], of: RoomState['peers']): PeerState[] {
  return [...of.values()].filter((peer) => !all.has(peer.id));
}
