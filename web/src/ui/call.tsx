import { useMemo, useState } from 'preact/hooks';
import type { RoomClient } from '../room/client';
import type { LocalMedia } from '../room/local-media';
import type { RoomState } from '../room/state';
import { Announcer } from './announcer';
import { ChatPanel } from './chat-panel';
import { ConnectionNote } from './connection-note';
import { CopyLink } from './copy-link';
import { DeviceMenu } from './device-menu';
import { useFlash, useSpoke, useStore, useUnread } from './hooks';
import { ChartIcon, ChatIcon, LeaveIcon, LogoIcon, PeopleIcon } from './icons';
import { MediaButton } from './media-button';
import { Notes } from './notes';
import { RemoteAudio } from './remote-audio';
import { ShareButton } from './share-button';
import { Stage } from './stage';
import { StageMessage } from './stage-message';
import { CallSummary } from './stats/call-summary';
import { useCallStats } from './stats/use-call-stats';
import { tilesOf } from './tiles';
import { ToggleButton } from './toggle-button';
import { useView } from './use-view';

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
}

/** A call as it goes on: everyone on the stage, the chat beside it, the controls below. */
export function Call({ client, room, media, displayName, stats, link }: CallProps) {
  const local = useStore(media.state);
  const [showStats, setShowStats] = useState(stats);
  const [showChat, setShowChat] = useState(false);
  const unread = useUnread(room.chat.messages, showChat);
  const [view, changeView] = useView();
  const spoke = useSpoke(room.activeSpeaker?.peerId, client.peerId);
  const [cannotShare, tellCannotShare] = useFlash(NOTICE_MS);
  const callStats = useCallStats(client, showStats);
  const self = { peerId: client.peerId, name: displayName };
  const tiles = useMemo(
    () => tilesOf(room, local, self),
    [room, local, self.peerId, self.name],
  );
  const audio = [...room.consumers.values()].filter((consumer) => consumer.kind === 'audio');
  return (
    <main class="call">
      <header class="call-header">
        <LogoIcon />
        <h1>{client.roomId}</h1>
        <ConnectionNote room={room} />
        <span class="spacer" />
        <span class="people" title="Participants">
          <PeopleIcon />
          <span aria-label={`${room.peers.size + 1} participants`}>{room.peers.size + 1}</span>
        </span>
        <CopyLink link={link} />
      </header>
      {callStats && <CallSummary stats={callStats} />}
      <div class="call-body">
        <div class={`stage-area ${room.phase.name}`}>
          <Stage
            tiles={tiles}
            view={view}
            spoke={spoke}
            onView={changeView}
            stats={callStats}
            onStopSharing={() => media.stopSharing()}
            onVideoShown={(consumerId, lines) => client.showVideo(consumerId, lines)}
            onVideoExpected={(lines) => client.expectVideo(lines)}
          />
          <Notes room={room} local={local} />
          <StageMessage room={room} />
          {cannotShare && (
            <p class="stage-message" role="status">
              This browser can’t share a screen. Join from a computer to do so.
            </p>
          )}
          <RemoteAudio consumers={audio} />
        </div>
        {showChat && (
          <ChatPanel
            chat={room.chat}
            selfId={client.peerId}
            onSay={(to, text) => client.say(to, text)}
            onClose={() => setShowChat(false)}
          />
        )}
      </div>
      <footer class="controls">
        <MediaButton source="mic" state={local.mic} media={media} />
        <MediaButton source="camera" state={local.camera} media={media} />
        <ShareButton state={local.screen} media={media} onImpossible={tellCannotShare} />
        <DeviceMenu local={local} media={media} />
        {room.chat.open !== null && (
          <ToggleButton
            label={unread ? 'Chat, new messages' : 'Chat'}
            on={showChat}
            mark={unread}
            onToggle={setShowChat}
          >
            <ChatIcon />
          </ToggleButton>
        )}
        <ToggleButton label="Statistics" on={showStats} onToggle={setShowStats}>
          <ChartIcon />
        </ToggleButton>
        <button
          class="round leave"
          aria-label="Leave the call"
          title="Leave the call"
          onClick={() => client.leave()}
        >
          <LeaveIcon />
        </button>
      </footer>
      <Announcer peers={room.peers} />
    </main>
  );
}
