import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { suggestRoomId } from '../config';
import type { PageConfig } from '../config';
import type { LocalMedia, LocalMediaState } from '../room/local-media';
import type { JoinChoice } from './app';
import { Avatar } from './avatar';
import { DevicePicker } from './controls/device-picker';
import { useStore } from './hooks';
import { LogoIcon, WarningIcon } from './icons';
import { MediaButton } from './controls/media-button';
import { MicLevel } from './mic-level';
import { readPreference } from './preferences';
import { problemTexts } from './problem-text';
import { VideoView } from './stage/video-view';

interface LobbyProps {
  config: PageConfig;
  media: LocalMedia;
  onJoin: (choice: JoinChoice) => void;
}

/** Where one checks camera, microphone and name before going in. */
export function Lobby({ config, media, onJoin }: LobbyProps) {
  const state = useStore(media.state);
  const [name, setName] = useState(config.displayName ?? readPreference('displayName') ?? '');
  const [roomId, setRoomId] = useState(() => config.roomId ?? suggestRoomId());
  const nameField = useRef<HTMLInputElement>(null);
  const nameId = useId();
  const roomFieldId = useId();

  useEffect(() => {
    if (!name) nameField.current?.focus();
  }, []);

  const onSubmit = (event: SubmitEvent) => {
    event.preventDefault();
    onJoin({ roomId: roomId.trim(), displayName: name.trim() });
  };
  return (
    <main class="lobby">
      <header class="brand">
        <LogoIcon />
        <span>Tureen</span>
      </header>
      <Preview media={media} state={state} name={name} peerId={config.peerId} />
      <form class="join-form" onSubmit={onSubmit}>
        <h1>{config.roomId ? <>Join {config.roomId}</> : 'Start a call'}</h1>
        {!config.roomId && (
          <div class="field">
            <label for={roomFieldId}>Room</label>
            <input
              id={roomFieldId}
              value={roomId}
              onInput={(event) => setRoomId(event.currentTarget.value)}
              required
              pattern=".*\S.*"
              maxLength={100}
              autocomplete="off"
              autocapitalize="none"
              spellcheck={false}
            />
          </div>
        )}
        <div class="field">
          <label for={nameId}>Your name</label>
          <input
            id={nameId}
            ref={nameField}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
            placeholder="How others see you"
            required
            pattern=".*\S.*"
            maxLength={60}
            autocomplete="name"
          />
        </div>
        <DevicePicker kind="mic" state={state} media={media} />
        <DevicePicker kind="camera" state={state} media={media} />
        <button class="button primary large" type="submit">
          Join{joinNote(state)}
        </button>
      </form>
    </main>
  );
}

interface PreviewProps {
  media: LocalMedia;
  state: LocalMediaState;
  name: string;
  peerId: string;
}

function Preview({ media, state, name, peerId }: PreviewProps) {
  const { mic, camera } = state;
  const problems = problemTexts(state);
  return (
    <section class="preview" aria-label="Preview">
      <div class="preview-picture">
        {camera.track ? (
          <VideoView track={camera.track} mirrored box={{ width: 16, height: 9 }} />
        ) : (
          <div class="preview-empty">
            <Avatar id={peerId} name={name} />
            <p>{camera.starting ? 'Starting the camera…' : 'Camera is off'}</p>
          </div>
        )}
        <div class="preview-controls">
          <MediaButton source="mic" state={mic} media={media} />
          <MediaButton source="camera" state={camera} media={media} />
        </div>
        {mic.track && mic.enabled && <MicLevel track={mic.track} />}
      </div>
      <div class="problems" role="status">
        {problems.map((problem) => (
          <p key={problem} class="problem-note">
            <WarningIcon />
            {problem}
          </p>
        ))}
        {problems.length > 0 && (
          <p class="hint">You can join without, and still see and hear the others.</p>
        )}
      </div>
    </section>
  );
}

function joinNote({ mic, camera }: LocalMediaState): string {
  if (mic.starting || camera.starting) return '';
  if (!mic.enabled && !camera.enabled) return ' without mic and camera';
  if (!mic.enabled) return ' muted';
  if (!camera.enabled) return ' without camera';
  return '';
}
