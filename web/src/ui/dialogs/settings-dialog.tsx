import { useState } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { VIDEO_HEIGHTS } from '../../config';
import type { LocalMedia, LocalMediaState, Processing } from '../../room/local-media';
import { DevicePicker } from '../controls/device-picker';
import { Dialog } from './dialog';
import { MicLevel } from '../mic-level';
import { RECEIVE, THEMES } from '../settings';
import type { Receive, Settings, Theme } from '../settings';
import { playTestTone } from '../speaker';

interface SettingsDialogProps {
  local: LocalMediaState;
  media: LocalMedia;
  settings: Settings;
  onSettings: (change: Partial<Settings>) => void;
  onClose: () => void;
}

const PROCESSING_TEXTS: Record<keyof Processing, string> = {
  noiseSuppression: 'Suppress background noise',
  echoCancellation: 'Cancel the echo of the speaker',
  autoGainControl: 'Even out the loudness',
};

const RECEIVE_TEXTS: Record<Receive, string> = {
  all: 'As sharp as they are shown',
  small: 'Small: saves most of the data',
  none: 'Not at all: sound and shared screens only',
};

const THEME_TEXTS: Record<Theme, string> = { system: 'As the system', light: 'Light', dark: 'Dark' };

/** Devices, sound, picture, and what is saved. */
export default function SettingsDialog({ local, media, settings, onSettings, onClose }: SettingsDialogProps) {
  return (
    <Dialog title="Settings" onClose={onClose}>
      <Section title="Sound">
        <DevicePicker kind="mic" state={local} media={media} />
        <div class="level">{local.mic.track && <MicLevel track={local.mic.track} />}</div>
        {(Object.keys(PROCESSING_TEXTS) as (keyof Processing)[]).map((name) => (
          <label key={name} class="switch">
            <input
              type="checkbox"
              checked={local.processing[name]}
              onChange={(event) => void media.setProcessing({ [name]: event.currentTarget.checked })}
            />
            {PROCESSING_TEXTS[name]}
          </label>
        ))}
        <DevicePicker kind="speaker" state={local} media={media} />
        <TestTone speakerId={local.speakerId} />
      </Section>
      <Section title="Picture">
        <DevicePicker kind="camera" state={local} media={media} />
        <Choice
          label="Size of your camera’s picture"
          value={String(local.videoHeight)}
          options={heightsWith(local.videoHeight).map((height) => [String(height), `${height}p`])}
          onChoose={(height) => void media.setVideoHeight(Number(height))}
        />
        <Choice
          label="Cameras of the others"
          value={settings.receive}
          options={RECEIVE.map((receive) => [receive, RECEIVE_TEXTS[receive]])}
          onChoose={(receive) => onSettings({ receive })}
        />
        <Choice
          label="Colours"
          value={settings.theme}
          options={THEMES.map((theme) => [theme, THEME_TEXTS[theme]])}
          onChoose={(theme) => onSettings({ theme })}
        />
      </Section>
    </Dialog>
  );
}

function Section({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section>
      <h3>{title}</h3>
      {children}
    </section>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  options: [T, string][];
  onChoose: (value: T) => void;
}

function Choice<T extends string>({ label, value, options, onChoose }: ChoiceProps<T>) {
  return (
    <label class="field">
      <span>{label}</span>
      <select value={value} onChange={(event) => onChoose(event.currentTarget.value as T)}>
        {options.map(([option, text]) => (
          <option key={option} value={option} selected={option === value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

function TestTone({ speakerId }: { speakerId: string | null }) {
  const [state, setState] = useState<'silent' | 'playing' | 'failed'>('silent');
  const play = () => {
    setState('playing');
    playTestTone(speakerId).then(
      () => setState('silent'),
      () => setState('failed'),
    );
  };
  return (
    <div class="test-tone">
      <button class="button small" disabled={state === 'playing'} onClick={play}>
        {state === 'playing' ? 'Playing…' : 'Play a test tone'}
      </button>
      {state === 'failed' && <span role="alert">The browser does not play it.</span>}
    </div>
  );
}

/** What is offered, and what the page's URL asked for. */
function heightsWith(height: number): number[] {
  return [...new Set([...VIDEO_HEIGHTS, height])].sort((a, b) => a - b);
}
