import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { roomUrl } from '../config';
import type { PageConfig } from '../config';
import { exposeConsoleHandle } from '../console';
import { RoomClient } from '../room/client';
import { askBrowser } from '../room/device';
import { LocalMedia } from '../room/local-media';
import type { DeviceSource } from '../room/local-media';
import { Call } from './call/call';
import { Ended } from './ended';
import { useStore } from './hooks';
import { Lobby } from './lobby';
import { chosenMedia, rememberMedia } from './media-choice';
import { readPreference, rememberPreference } from './preferences';
import { useSettings } from './settings';
import type { Settings } from './settings';
import { expectedLines } from './stage/stage';

export interface JoinChoice {
  roomId: string;
  displayName: string;
}

/** How long the lobby keeps a connection to the room ready. */
const READY_MS = 5 * 60_000;

interface Visit extends JoinChoice {
  client: RoomClient;
}

/** The lobby, then a call, then what it ended with, and from there a call again. */
export function App({ config }: { config: PageConfig }) {
  const media = useMemo(() => new LocalMedia(chosenMedia(config.videoHeight)), []);
  const [visit, setVisit] = useState<Visit | null>(null);
  const ready = useRef<RoomClient | null>(null);
  const [settings, changeSettings] = useSettings();

  const connect = (roomId: string) => {
    const { accessToken, peerId, video, session } = config;
    return new RoomClient({
      origin: location.origin,
      roomId,
      peerId,
      accessToken,
      video,
      session,
      media,
      linesAmong: expectedLines,
    });
  };
  /** Whoever follows a link to a room most likely joins it: the connection is made while they are in the lobby. */
  const getReady = (roomId: string) => {
    const client = connect(roomId);
    ready.current = client;
    setTimeout(() => {
      if (ready.current === client) takeReady(null);
    }, READY_MS);
  };
  const takeReady = (roomId: string | null) => {
    const client = ready.current;
    ready.current = null;
    if (client?.roomId === roomId && client.state.get().phase.name !== 'ended') return client;
    client?.leave();
    return null;
  };
  const join = ({ roomId, displayName }: JoinChoice) => {
    const client = takeReady(roomId) ?? connect(roomId);
    client.join(displayName);
    exposeConsoleHandle(client, media);
    setVisit({ roomId, displayName, client });
  };

  useEffect(() => {
    const sources: DeviceSource[] = [];
    if (config.mic) sources.push('mic');
    if (config.camera) sources.push('camera');
    void media.start(sources);
    void askBrowser();
    if (config.joinAtOnce && config.roomId) {
      const displayName = config.displayName ?? readPreference('displayName') ?? 'Guest';
      join({ roomId: config.roomId, displayName });
    } else if (config.roomId && !config.peerIdIsGiven) {
      getReady(config.roomId);
    }
    return media.state.subscribe((state) => rememberMedia(state, config.videoHeight));
  }, []);

  if (!visit) {
    const onJoin = (choice: JoinChoice) => {
      rememberPreference('displayName', choice.displayName);
      history.replaceState(null, '', withRoomId(location.href, choice.roomId));
      join(choice);
    };
    return <Lobby config={config} media={media} onJoin={onJoin} />;
  }
  return (
    <VisitView
      visit={visit}
      media={media}
      stats={config.stats}
      settings={settings}
      onSettings={changeSettings}
      onRejoin={() => join(visit)}
    />
  );
}

interface VisitViewProps {
  visit: Visit;
  media: LocalMedia;
  /** Whether statistics are shown from the start. */
  stats: boolean;
  settings: Settings;
  onSettings: (change: Partial<Settings>) => void;
  onRejoin: () => void;
}

function VisitView({ visit, media, stats, settings, onSettings, onRejoin }: VisitViewProps) {
  const room = useStore(visit.client.state);
  const ended = room.phase.name === 'ended';

  useEffect(() => {
    document.title = `${visit.roomId} · Tureen`;
  }, [visit.roomId]);
  useEffect(() => {
    if (ended) media.suspend();
  }, [ended]);

  if (room.phase.name === 'ended') {
    const rejoin = () => {
      void media.resume();
      onRejoin();
    };
    return <Ended reason={room.phase.reason} roomId={visit.roomId} onRejoin={rejoin} />;
  }
  return (
    <Call
      client={visit.client}
      room={room}
      media={media}
      displayName={visit.displayName}
      stats={stats}
      link={roomUrl(location.origin, visit.roomId)}
      settings={settings}
      onSettings={onSettings}
    />
  );
}

function withRoomId(href: string, roomId: string): string {
  const url = new URL(href);
  url.searchParams.set('roomId', roomId);
  return url.href;
}
