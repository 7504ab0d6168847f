/**
 * The microphone, the camera and the shared screen of this side: which devices, whether on, and what
 * went wrong. It knows nothing of rooms; a preview and a call share one.
 *
 * A microphone that is switched off keeps its track (disabled), to come back at once. A camera that
 * is switched off is released, so that its light goes out.
 */

import { captureScreen } from './screen-capture';
import { Store } from './store';
import type { ReadableStore } from './store';

/** What has a device to choose. */
export type DeviceSource = 'mic' | 'camera';

/** What can be sent. A shared screen has sound where the browser gives it. */
export type MediaSource = DeviceSource | 'screen' | 'screenSound';

const DEVICE_SOURCES: readonly DeviceSource[] = ['mic', 'camera'];

export const SOURCES: readonly MediaSource[] = [...DEVICE_SOURCES, 'screen', 'screenSound'];

export type MediaProblem =
  /** The page is not on https or localhost: the browser offers no devices at all. */
  | 'insecure'
  /** The user or the system refused. */
  | 'denied'
  | 'not-found'
  /** Another program holds the device. */
  | 'busy'
  /** It was unplugged, or the system took it away. */
  | 'lost'
  /** The same, and another device is used now. */
  | 'replaced'
  | 'failed';

export interface SourceState {
  /** Whether it is on. */
  enabled: boolean;
  /** Being opened, or asked permission for. */
  starting: boolean;
  track: MediaStreamTrack | null;
  deviceId: string | null;
  problem: MediaProblem | null;
  /** It is on, but the system or another program keeps its sound or picture back. */
  interrupted: boolean;
}

export interface DeviceOption {
  id: string;
  label: string;
}

/** What the browser does to the microphone's sound. */
export interface Processing {
  echoCancellation: boolean;
  noiseSuppression: boolean;
  autoGainControl: boolean;
}

export interface LocalMediaState extends Record<MediaSource, SourceState> {
  devices: Record<DeviceSource | 'speaker', DeviceOption[]>;
  /** What plays the others' sound; null for the system's choice. */
  speakerId: string | null;
  processing: Processing;
  /** Lines of the camera's picture. */
  videoHeight: number;
}

/** What was chosen before. Devices are opened first, if they are there. */
export interface LocalMediaChoice {
  mic?: string | undefined;
  camera?: string | undefined;
  speaker?: string | undefined;
  processing?: Partial<Processing>;
  videoHeight?: number;
}

export class LocalMedia {
  readonly #store: Store<LocalMediaState>;
  /** Counts the openings of a source: only the last one's track is kept. */
  readonly #opening: Record<MediaSource, number> = { mic: 0, camera: 0, screen: 0, screenSound: 0 };

  #suspended: DeviceSource[] = [];

  constructor(chosen: LocalMediaChoice = {}) {
    const source = (deviceId?: string): SourceState => ({
      enabled: false,
      starting: false,
      track: null,
      deviceId: deviceId ?? null,
      problem: null,
      interrupted: false,
    });
    this.#store = new Store<LocalMediaState>({
      mic: source(chosen.mic),
      camera: source(chosen.camera),
      screen: source(),
      screenSound: source(),
      devices: { mic: [], camera: [], speaker: [] },
      speakerId: chosen.speaker ?? null,
      processing: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...chosen.processing },
      videoHeight: chosen.videoHeight ?? 720,
    });
    navigator.mediaDevices?.addEventListener('devicechange', () => void this.#listDevices());
  }

  get state(): ReadableStore<LocalMediaState> {
    return this.#store;
  }

  /** Opens the given sources with one permission prompt, if the browser allows that. */
  async start(sources: DeviceSource[]): Promise<void> {
    const permitted: DeviceSource[] = [];
    for (const source of sources) {
      if (await isDenied(source)) this.#change(source, { problem: 'denied' });
      else permitted.push(source);
    }
    if (permitted.length > 0) await this.#open(permitted);
    await this.#listDevices();
  }

  async setEnabled(source: DeviceSource, enabled: boolean): Promise<void> {
    const { track } = this.#store.get()[source];
    if (enabled && !track) return this.start([source]);
    if (track && source === 'mic') {
      track.enabled = enabled;
      this.#change(source, { enabled });
    } else if (!enabled) {
      this.#release(source, { enabled, problem: null });
    }
  }

  async setDevice(source: DeviceSource, deviceId: string): Promise<void> {
    this.#change(source, { deviceId });
    await this.#reopen(source);
  }

  setSpeaker(speakerId: string): void {
    this.#store.set({ ...this.#store.get(), speakerId });
  }

  async setProcessing(change: Partial<Processing>): Promise<void> {
    const state = this.#store.get();
    this.#store.set({ ...state, processing: { ...state.processing, ...change } });
    await this.#reopen('mic');
  }

  async setVideoHeight(videoHeight: number): Promise<void> {
    this.#store.set({ ...this.#store.get(), videoHeight });
    await this.#reopen('camera');
  }

  /** Asks the user for a screen to share. Rejects never; `screen` tells how it goes. */
  async share(): Promise<void> {
    const opening = ++this.#opening.screen;
    this.#change('screen', { starting: true, problem: null });
    try {
      const tracks = await captureScreen();
      if (opening !== this.#opening.screen) {
        tracks?.picture.stop();
        tracks?.sound?.stop();
      } else if (tracks) {
        this.#adopt('screen', tracks.picture);
        if (tracks.sound) this.#adopt('screenSound', tracks.sound);
      } else {
        this.#change('screen', { starting: false });
      }
    } catch (error) {
      if (opening === this.#opening.screen) this.#release('screen', { enabled: false, problem: problemOf(error) });
    }
  }

  stopSharing(): void {
    for (const source of ['screen', 'screenSound'] as const) this.#release(source, { enabled: false, problem: null });
  }

  /** Releases everything, until `resume`. */
  suspend(): void {
    const state = this.#store.get();
    this.#suspended = DEVICE_SOURCES.filter((source) => state[source].enabled || state[source].starting);
    for (const source of DEVICE_SOURCES) this.#release(source, { enabled: false });
    this.stopSharing();
  }

  /** Opens the devices again that were on at `suspend`. */
  async resume(): Promise<void> {
    await this.start(this.#suspended);
  }

  /** Other settings take another track. */
  async #reopen(source: DeviceSource): Promise<void> {
    if (this.#store.get()[source].enabled) await this.#open([source]);
    // That of a muted microphone comes with its next use.
    else this.#release(source, {});
  }

  async #open(sources: DeviceSource[]): Promise<void> {
    const opening = new Map<DeviceSource, number>();
    for (const source of sources) {
      // Many phones can't have two cameras open: the old one goes first.
      this.#store.get()[source].track?.stop();
      opening.set(source, ++this.#opening[source]);
      this.#change(source, { starting: true, problem: null });
    }
    const isCurrent = (source: DeviceSource) => opening.get(source) === this.#opening[source];

    try {
      const stream = await getUserMedia(sources, this.#store.get());
      for (const track of stream.getTracks()) {
        const source = track.kind === 'audio' ? 'mic' : 'camera';
        if (isCurrent(source)) this.#adopt(source, track);
        else track.stop();
      }
    } catch (error) {
      const problem = problemOf(error);
      if (sources.length > 1 && problem !== 'denied' && problem !== 'insecure') {
        // One missing or busy device fails the joint request: the other may still do.
        for (const source of sources) if (isCurrent(source)) await this.#open([source]);
        return;
      }
      for (const source of sources) {
        if (isCurrent(source)) this.#release(source, { enabled: false, problem });
      }
    }
  }

  #adopt(source: MediaSource, track: MediaStreamTrack): void {
    track.addEventListener('ended', () => {
      if (this.#store.get()[source].track === track) this.#lost(source);
    });
    const interrupted = () => {
      if (this.#store.get()[source].track === track) this.#change(source, { interrupted: track.muted });
    };
    track.addEventListener('mute', interrupted);
    track.addEventListener('unmute', interrupted);
    const deviceId = track.getSettings().deviceId ?? null;
    this.#change(source, { enabled: true, starting: false, track, deviceId, problem: null, interrupted: track.muted });
  }

  #lost(source: MediaSource): void {
    // That is how sharing is stopped in the browser's own bar.
    if (source === 'screen') this.stopSharing();
    else if (source === 'screenSound') this.#release(source, { enabled: false });
    else void this.#replace(source);
  }

  /** A device is gone: another one takes its place, if it was on and there is one. */
  async #replace(source: DeviceSource): Promise<void> {
    const { enabled } = this.#store.get()[source];
    this.#release(source, { enabled: false, deviceId: null, problem: 'lost' });
    await this.#listDevices();
    const left = this.#store.get().devices[source].length > 0;
    if (!enabled || !left || this.#store.get()[source].starting) return;
    await this.#open([source]);
    if (this.#store.get()[source].track) this.#change(source, { problem: 'replaced' });
    else this.#change(source, { problem: 'lost' });
  }

  #release(source: MediaSource, change: Partial<SourceState>): void {
    ++this.#opening[source];
    this.#store.get()[source].track?.stop();
    this.#change(source, { starting: false, track: null, interrupted: false, ...change });
  }

  #change(source: MediaSource, change: Partial<SourceState>): void {
    const state = this.#store.get();
    this.#store.set({ ...state, [source]: { ...state[source], ...change } });
  }

  async #listDevices(): Promise<void> {
    const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
    // Before permission is given, devices have neither id nor label.
    const options = (kind: MediaDeviceKind): DeviceOption[] =>
      all
        .filter((device) => device.kind === kind && device.deviceId !== '')
        .map(({ deviceId, label }, index) => ({ id: deviceId, label: label || `Device ${index + 1}` }));
    const devices = {
      mic: options('audioinput'),
      camera: options('videoinput'),
      speaker: options('audiooutput'),
    };
    this.#store.set({ ...this.#store.get(), devices });
  }
}

/** Opens exactly the devices chosen; where one of them is gone, whichever the browser prefers. */
async function getUserMedia(
  sources: DeviceSource[],
  { mic, camera, processing, videoHeight }: LocalMediaState,
): Promise<MediaStream> {
  if (!navigator.mediaDevices) throw new DOMException('needs https', 'SecurityError');
  const constraints = (micId: string | null, cameraId: string | null): MediaStreamConstraints => ({
    audio: sources.includes('mic') && { ...(micId ? { deviceId: { exact: micId } } : {}), ...processing },
    video: sources.includes('camera') && cameraConstraints(cameraId, videoHeight),
  });
  try {
    return await navigator.mediaDevices.getUserMedia(constraints(mic.deviceId, camera.deviceId));
  } catch (error) {
    if (nameOf(error) !== 'OverconstrainedError') throw error;
    return navigator.mediaDevices.getUserMedia(constraints(null, null));
  }
}

function cameraConstraints(deviceId: string | null, height: number): MediaTrackConstraints {
  return {
    ...(deviceId ? { deviceId: { exact: deviceId } } : { facingMode: 'user' }),
    width: { ideal: Math.round((height * 16) / 9) },
    height: { ideal: height },
    frameRate: { ideal: 30 },
  };
}

/** Whether asking would fail without a prompt. Browsers that can't tell are asked. */
async function isDenied(source: DeviceSource): Promise<boolean> {
  const name = source === 'mic' ? 'microphone' : 'camera';
  try {
    const status = await navigator.permissions.query({ name: name as PermissionName });
    return status.state === 'denied';
  } catch {
    return false;
  }
}

function problemOf(error: unknown): MediaProblem {
  switch (nameOf(error)) {
    case 'SecurityError':
      return 'insecure';
    case 'NotAllowedError':
      return 'denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'not-found';
    case 'NotReadableError':
    case 'AbortError':
      return 'busy';
    default:
      return 'failed';
  }
}

/** The name of a DOMException, or of an OverconstrainedError, which is none in older browsers. */
function nameOf(error: unknown): string {
  return typeof error === 'object' && error && 'name' in error ? String(error.name) : '';
}
