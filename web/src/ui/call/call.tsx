import { useMemo, useState } from 'preact/hooks';
import type { RoomClient } from '../../room/client';
import type { LocalMedia } from '../../room/local-media';
import { canShareScreen } from '../../room/screen-capture';
import type { RoomState } from '../../room/state';
import { Announcer } from './announcer';
import { CallHeader } from './call-header';
import { ChatPanel } from '../panels/chat-panel';
import { Controls } from '../controls/controls';
import type { OpenDialog, SidePanel } from '../controls/controls';
import { useFlash, useSpoke, useStore, useUnread } from '../hooks';
import { Notes } from './notes';
import { onDemand } from '../on-demand';
import { peopleOf } from '../panels/people';
import { RemoteAudio } from './remote-audio';
import { useWakeLock } from './screen-modes';
import { linesWanted } from '../settings';
import type { Settings } from '../settings';
import { Stage } from '../stage/stage';
import { StageMessage } from './stage-message';
import { useCallStats } from '../stats/use-call-stats';
import { useTalkingMuted } from './talking-muted';
import { tilesOf, withoutCamera } from '../stage/tiles';
import { useView } from '../stage/use-view';

const PeoplePanel = onDemand(() => import('../panels/people-panel').then((module) => module.default));
const SettingsDialog = onDemand(() => import('../dialogs/settings-dialog').then((module) => module.default));
const HelpDialog = onDemand(() => import('../dialogs/help-dialog').then((module) => module.default));
const CallSummary = onDemand(() => import('../stats/call-summary').then((module) => module.CallSummary));

/** How long a passing notice stands. */
const NOTICE_MS = 6000;

interface CallProps {
  client: RoomClient;
  room: RoomState;
  media: LocalMedia;
  displayName: string;
  /** Whether statistics are shown from the start. */
  stats: boolean;
  /** What brings others here. */
  link: string;
  settings: Settings;
  onSettings: (change: Partial<Settings>) => void;
}

/** A call as it goes on: everyone on the stage, chat or people beside it, the controls below. */
export function Call({ client, room, media, displayName, stats, link, settings, onSettings }: CallProps) {
  const local = useStore(media.state);
  const [showStats, setShowStats] = useState(stats);
  const [panel, setPanel] = useState<SidePanel | null>(null);
  const [dialog, setDialog] = useState<OpenDialog | null>(null);
  const [view, changeView] = useView();
  const [cannotShare, tellCannotShare] = useFlash(NOTICE_MS);
  const unread = useUnread(room.chat.messages, panel === 'chat');
  const spoke = useSpoke(room.activeSpeaker?.peerId, client.peerId);
  const talkingMuted = useTalkingMuted(local.mic);
  const callStats = useCallStats(client, showStats);
  useWakeLock();
  const self = { peerId: client.peerId, name: displayName };
  const { receive } = settings;
  const tiles = useMemo(
    () => tilesOf(room, local, self).map((tile) => (receive === 'none' ? withoutCamera(tile) : tile)),
    [room, local, self.peerId, self.name, receive],
  );
  const audio = [...room.consumers.values()].filter((consumer) => consumer.kind === 'audio');
  /** The browser tells late that a dialog was closed: another one may be open by then. */
  const close = (closed: OpenDialog) => () => setDialog((open) => (open === closed ? null : open));
  const share = () => {
    if (local.screen.enabled) media.stopSharing();
    else if (canShareScreen()) void media.share();
    else tellCannotShare();
  };
  return (
    <main class="call">
      <CallHeader roomId={client.roomId} room={room} link={link} panel={panel} onPanel={setPanel} />
      {callStats && <CallSummary stats={callStats} />}
      <div class="call-body">
        <div class={`stage-area ${room.phase.name}`}>
          <Stage
            tiles={tiles}
            view={view}
            spoke={spoke}
            hands={room.hands}
            reactions={room.reactions}
            onView={changeView}
            stats={callStats}
            onStopSharing={() => media.stopSharing()}
            onVideoShown={(consumerId, lines) => {
              const whole = room.consumers.get(consumerId)?.share;
              client.showVideo(consumerId, whole ? lines : linesWanted(lines, receive));
            }}
            onVideoExpected={(lines) => client.expectVideo(linesWanted(lines, receive) ?? 0)}
          />
          <Notes room={room} local={local} />
          <StageMessage
            room={room}
            cannotShare={cannotShare}
            onUnmute={talkingMuted ? () => void media.setEnabled('mic', true) : null}
          />
          <RemoteAudio consumers={audio} speakerId={local.speakerId} />
        </div>
        {panel === 'chat' && (
          <ChatPanel
            chat={room.chat}
            selfId={client.peerId}
            onSay={(to, text) => client.say(to, text)}
            onClose={() => setPanel(null)}
          />
        )}
        {panel === 'people' && <PeoplePanel people={peopleOf(room, local, self)} onClose={() => setPanel(null)} />}
      </div>
      <Controls
        client={client}
        room={room}
        local={local}
        media={media}
        view={view}
        onView={changeView}
        panel={panel}
        onPanel={setPanel}
        unread={unread}
        stats={showStats}
        onStats={setShowStats}
        onShare={share}
        onDialog={setDialog}
      />
      {dialog === 'settings' && (
        <SettingsDialog
          local={local}
          media={media}
          settings={settings}
          onSettings={onSettings}
          onClose={close('settings')}
        />
      )}
      {dialog === 'help' && <HelpDialog onClose={close('help')} />}
      <Announcer room={room} selfId={client.peerId} chatShown={panel === 'chat'} />
    </main>
  );
}
