import type { RoomState } from '../../room/state';
import { ConnectionNote } from './connection-note';
import type { SidePanel } from '../controls/controls';
import { CopyLink } from './copy-link';
import { HandIcon, LogoIcon, PeopleIcon } from '../icons';
import { useShortcut } from '../controls/shortcuts';
import { ToggleButton } from '../controls/toggle-button';

interface CallHeaderProps {
  roomId: string;
  room: RoomState;
  /** What brings others here. */
  link: string;
  panel: SidePanel | null;
  onPanel: (panel: SidePanel | null) => void;
}

/** The room, how the connection is, and who is here. */
export function CallHeader({ roomId, room, link, panel, onPanel }: CallHeaderProps) {
  const count = room.peers.size + 1;
  const shown = panel === 'people';
  const toggle = (on: boolean) => onPanel(on ? 'people' : null);
  useShortcut('people', () => toggle(!shown));
  const hands = room.hands.size > 0 ? `, ${room.hands.size} with a raised hand` : '';
  return (
    <header class="call-header">
      <LogoIcon />
      <h1>{roomId}</h1>
      <ConnectionNote room={room} />
      <span class="spacer" />
      <ToggleButton
        label={`People: ${count}${hands}`}
        class="button small people"
        shortcut="people"
        on={shown}
        onToggle={toggle}
      >
        <PeopleIcon />
        {count}
        {room.hands.size > 0 && (
          <span class="hands">
            <HandIcon />
            {room.hands.size}
          </span>
        )}
      </ToggleButton>
      <CopyLink link={link} />
    </header>
  );
}
