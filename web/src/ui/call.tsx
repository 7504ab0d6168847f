import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { RoomClient } from '../room/client';
import type { LocalMedia, LocalMediaState } from '../room/local-media';
import type { PeerState, RoomState } from '../room/state';
import { DevicePicker } from './device-picker';
import { useFlash, useStore } from './hooks';
import {
  CheckIcon,
  LeaveIcon,
  LinkIcon,
  LogoIcon,
  PeopleIcon,
  SettingsIcon,
  WarningIcon,
} from './icons';
import { MediaButton } from './media-button';
import { problemText } from './problem-text';
import { RemoteAudio } from './remote-audio';
import { Stage } from './stage';
import { tilesOf } from './tiles';

interface CallProps {
  client: RoomClient;
  room: RoomState;
  media: LocalMedia;
  displayName: string;
  /** What brings others here. */
  link: string;
}

export function Call({ client, room, media, displayName, link }: CallProps) {
  const local = useStore(media.state);
  const self = { peerId: client.peerId, name: displayName };
  const tiles = useMemo(
    () => tilesOf(room, local, self),
    [room, local, self.peerId, self.name],
  );
  const audio = [...room.consumers.values()].filter((consumer) => consumer.kind === 'audio');
  const alone = room.phase.name === 'joined' && room.peers.size === 0;
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
      <div class="stage-area">
        <Stage tiles={tiles} />
        <Notes room={room} local={local} />
        {alone && (
          <div class="alone">
            <p>You’re the only one here.</p>
            <p class="hint">Send the link to whoever should join.</p>
          </div>
        )}
        <RemoteAudio consumers={audio} />
      </div>
      <footer class="controls">
        <MediaButton source="mic" state={local.mic} media={media} />
        <MediaButton source="camera" state={local.camera} media={media} />
        <Devices local={local} media={media} />
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

/** How the connection is, in words, with a dot. */
function ConnectionNote({ room }: { room: RoomState }) {
  const { text, tone } = describeConnection(room);
  return (
    <span class={`connection ${tone}`} role="status">
      {text}
    </span>
  );
}

function describeConnection({ phase, transports }: RoomState): { text: string; tone: string } {
  switch (phase.name) {
    case 'connecting':
      return phase.failedAttempts > 0
        ? { text: 'Server not reachable, trying again…', tone: 'bad' }
        : { text: 'Connecting…', tone: 'busy' };
    case 'reconnecting':
      return { text: 'Reconnecting…', tone: 'bad' };
    case 'ended':
      return { text: 'Ended', tone: 'busy' };
    case 'joined': {
      const states = [transports.send, transports.recv];
      if (states.includes('disconnected')) return { text: 'Unstable connection…', tone: 'bad' };
      if (states.includes('connecting')) return { text: 'Connecting media…', tone: 'busy' };
      return { text: 'Connected', tone: 'good' };
    }
  }
}

/** What keeps one's own sound or picture from the others. */
function Notes({ room, local }: { room: RoomState; local: LocalMediaState }) {
  const notes = (['mic', 'camera'] as const).flatMap((source) => {
    const { problem } = local[source];
    const error = room.sendErrors[source];
    if (problem) return [problemText(source, problem)];
    return error ? [`Your ${source} is not being sent: ${error}.`] : [];
  });
  const key = notes.join('\n');
  const [dismissed, setDismissed] = useState('');
  if (notes.length === 0 || dismissed === key) return null;
  return (
    <div class="notes" role="alert">
      <WarningIcon />
      <div>
        {notes.map((note) => (
          <p key={note}>{note}</p>
        ))}
      </div>
      <button class="button small" onClick={() => setDismissed(key)}>
        Dismiss
      </button>
    </div>
  );
}

function CopyLink({ link }: { link: string }) {
  const [copied, flash] = useFlash(2000);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(link);
      flash();
    } catch {
      prompt('The link to this room:', link);
    }
  };
  return (
    <button class="button small copy" onClick={() => void copy()} aria-label="Copy the room’s link">
      {copied ? <CheckIcon /> : <LinkIcon />}
      <span aria-live="polite">{copied ? 'Copied' : 'Copy link'}</span>
    </button>
  );
}

function Devices({ local, media }: { local: LocalMediaState; media: LocalMedia }) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (!open) return;
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key !== 'Escape') return;
      setOpen(false);
      root.current?.querySelector('button')?.focus();
    };
    const onPointerDown = (event: PointerEvent) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener('keydown', onKeyDown);
    document.addEventListener('pointerdown', onPointerDown);
    return () => {
      document.removeEventListener('keydown', onKeyDown);
      document.removeEventListener('pointerdown', onPointerDown);
    };
  }, [open]);

  return (
    <div class="devices" ref={root}>
      <button
        class="round"
        aria-label="Choose microphone and camera"
        title="Choose microphone and camera"
        aria-expanded={open}
        aria-haspopup="dialog"
        onClick={() => setOpen(!open)}
      >
        <SettingsIcon />
      </button>
      {open && (
        <div class="popover" role="dialog" aria-label="Microphone and camera">
          <DevicePicker source="mic" state={local} media={media} />
          <DevicePicker source="camera" state={local} media={media} />
        </div>
      )}
    </div>
  );
}

/** Says to screen readers who came and who went. */
function Announcer({ peers }: { peers: RoomState['peers'] }) {
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
