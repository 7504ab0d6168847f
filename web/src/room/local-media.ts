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
  | 'failed';

export interface SourceState {
  /** Whether it is on. */
  enabled: boolean;
  /** Being opened, or asked permission for. */
  starting: boolean;
  track: MediaStreamTrack | null;
  deviceId: string | null;
  problem: MediaProblem | null;
}

export interface DeviceOption {
  id: string;
  label: string;
}

export interface LocalMediaState extends Record<MediaSource, SourceState> {
  devices: Record<DeviceSource, DeviceOption[]>;
}

export class LocalMedia {
  readonly #store: Store<LocalMediaState>;
  /** Counts the openings of a source: only the last one's track is kept. */
  readonly #opening: Record<MediaSource, number> = { mic: 0, camera: 0, screen: 0, screenSound: 0 };

  #suspended: DeviceSource[] = [];

  /**
   * `preferred` are the ids of the devices to open first, if they are there; `videoHeight` the lines
   * of the camera's picture.
   */
  constructor(
    preferred: Partial<Record<DeviceSource, string>> = {},
    readonly videoHeight = 720,
  ) {
    const source = (deviceId?: string): SourceState => ({
      enabled: false,
      starting: false,
      track: null,
      deviceId: deviceId ?? null,
      problem: null,
    });
    this.#store = new Store<LocalMediaState>({
      mic: source(preferred.mic),
      camera: source(preferred.camera),
      screen: source(),
      screenSound: source(),
      devices: { mic: [], camera: [] },
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
    const { enabled } = this.#store.get()[source];
    this.#change(source, { deviceId });
    if (enabled) await this.#open([source]);
    // A muted microphone's old track is no longer the right one.
    else this.#release(source, {});
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
      const { mic, camera } = this.#store.get();
      const stream = await getUserMedia(sources, { mic: mic.deviceId, camera: camera.deviceId }, this.videoHeight);
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
    const deviceId = track.getSettings().deviceId ?? null;
    this.#change(source, { enabled: true, starting: false, track, deviceId, problem: null });
  }

  #lost(source: MediaSource): void {
    // That is how sharing is stopped in the browser's own bar.
    if (source === 'screen') this.stopSharing();
    else if (source === 'screenSound') this.#release(source, { enabled: false });
    else this.#release(source, { enabled: false, problem: 'lost' });
  }

  #release(source: MediaSource, change: Partial<SourceState>): void {
    ++this.#opening[source];
    this.#store.get()[source].track?.stop();
    this.#change(source, { starting: false, track: null, ...change });
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
    const devices = { mic: options('audioinput'), camera: options('videoinput') };
    this.#store.set({ ...this.#store.get(), devices });
  }
}

type DeviceIds = Partial<Record<DeviceSource, string | null>>;

/** Opens exactly the devices named; where one of them is gone, whichever the browser prefers. */
async function getUserMedia(
  sources: DeviceSource[],
  ids: DeviceIds,
  videoHeight: number,
): Promise<MediaStream> {
  if (!navigator.mediaDevices) throw new DOMException('needs https', 'SecurityError');
  const constraints = ({ mic, camera }: DeviceIds): MediaStreamConstraints => ({
    audio: sources.includes('mic') && micConstraints(mic),
    video: sources.includes('camera') && cameraConstraints(camera, videoHeight),
  });
  try {
    return await navigator.mediaDevices.getUserMedia(constraints(ids));
  } catch (error) {
    if (nameOf(error) !== 'OverconstrainedError') throw error;
    return navigator.mediaDevices.getUserMedia(constraints({}));
  }
}

function micConstraints(deviceId: string | null | undefined): MediaTrackConstraints {
  return {
    ...(deviceId ? { deviceId: { exact: deviceId } } : {}),
    echoCancellation: true,
    noiseSuppression: true,
    autoGainControl: true,
  };
}

function cameraConstraints(
  deviceId: string | null | undefined,
  height: number,
): MediaTrackConstraints {
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
