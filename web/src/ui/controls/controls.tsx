import type { RoomClient } from '../../room/client';
import type { LocalMedia, LocalMediaState } from '../../room/local-media';
import type { RoomState } from '../../room/state';
import { DeviceMenu } from './device-menu';
import { DevicePicker } from './device-picker';
import { ChatIcon, LeaveIcon } from '../icons';
import { MediaButton } from './media-button';
import { MoreMenu } from './more-menu';
import { ReactionsMenu } from './reactions-menu';
import { toggleFullScreen } from '../call/screen-modes';
import { ShareButton } from './share-button';
import { useShortcut } from './shortcuts';
import { ToggleButton } from './toggle-button';
import type { ViewChoice } from '../stage/use-view';

export type SidePanel = 'chat' | 'people';
export type OpenDialog = 'settings' | 'help';

interface ControlsProps {
  client: RoomClient;
  room: RoomState;
  local: LocalMediaState;
  media: LocalMedia;
  view: ViewChoice;
  onView: (change: Partial<ViewChoice>) => void;
  panel: SidePanel | null;
  onPanel: (panel: SidePanel | null) => void;
  unread: number;
  stats: boolean;
  onStats: (shown: boolean) => void;
  onShare: () => void;
  onDialog: (dialog: OpenDialog) => void;
}

/** The row of buttons below the stage. */
export function Controls(props: ControlsProps) {
  const { client, room, local, media, view, onView, panel, onPanel, unread, stats, onStats, onShare, onDialog } = props;
  const handUp = room.hands.has(client.peerId);
  const hasChat = room.chat.open !== null;
  useShortcut('share', onShare);
  useShortcut('hand', () => hasChat && client.raiseHand(!handUp));
  useShortcut('chat', () => hasChat && onPanel(panel === 'chat' ? null : 'chat'));
  useShortcut('fullScreen', toggleFullScreen);
  useShortcut('help', () => onDialog('help'));
  return (
    <footer class="controls">
      <div class="split">
        <MediaButton source="mic" state={local.mic} media={media} />
        <DeviceMenu label="Choose microphone and speaker" onSettings={() => onDialog('settings')}>
          <DevicePicker kind="mic" state={local} media={media} />
          <DevicePicker kind="speaker" state={local} media={media} />
        </DeviceMenu>
      </div>
      <div class="split">
        <MediaButton source="camera" state={local.camera} media={media} />
        <DeviceMenu label="Choose a camera" onSettings={() => onDialog('settings')}>
          <DevicePicker kind="camera" state={local} media={media} />
        </DeviceMenu>
      </div>
      <ShareButton state={local.screen} onShare={onShare} />
      {hasChat && (
        <>
          <ReactionsMenu
            handUp={handUp}
            onHand={(up) => client.raiseHand(up)}
            onReact={(reaction) => client.react(reaction)}
          />
          <ToggleButton
            label={unread > 0 ? `Chat, ${unread} new` : 'Chat'}
            shortcut="chat"
            on={panel === 'chat'}
            count={unread}
            onToggle={(on) => onPanel(on ? 'chat' : null)}
          >
            <ChatIcon />
          </ToggleButton>
        </>
      )}
      <MoreMenu
        view={view}
        onView={onView}
        stats={stats}
        onStats={onStats}
        sharing={local.screen.enabled}
        onShare={onShare}
        onSettings={() => onDialog('settings')}
        onHelp={() => onDialog('help')}
      />
      <button class="round leave" aria-label="Leave the call" title="Leave the call" onClick={() => client.leave()}>
        <LeaveIcon />
      </button>
    </footer>
  );
}
