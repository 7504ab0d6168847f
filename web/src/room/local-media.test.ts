import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LocalMedia } from './local-media';

/** The devices that are plugged in, by id; the first of a kind is what the browser prefers. */
let devices: { deviceId: string; kind: MediaDeviceKind; label: string }[];
/** What the next request for a screen gives, or fails with. */
let screen: () => FakeTrack[];

beforeEach(() => {
  devices = ['mic-1', 'mic-2', 'camera-1'].map((deviceId) => ({
    deviceId,
    kind: deviceId.startsWith('mic') ? 'audioinput' : 'videoinput',
    label: deviceId,
  }));
  const mediaDevices = Object.assign(new EventTarget(), {
    enumerateDevices: async () => devices,
    getUserMedia: async ({ audio, video }: MediaStreamConstraints) => {
      const tracks = [];
      if (audio) tracks.push(open('audioinput', audio as MediaTrackConstraints));
      if (video) tracks.push(open('videoinput', video as MediaTrackConstraints));
      return streamOf(tracks);
    },
    getDisplayMedia: async () => streamOf(screen()),
  });
  vi.stubGlobal('navigator', { mediaDevices, permissions: { query: async () => ({ state: 'granted' }) } });
});
afterEach(() => void vi.unstubAllGlobals());

describe('a shared screen', () => {
  it('comes with its sound, and goes with it', async () => {
    screen = () => [new FakeTrack('video'), new FakeTrack('audio')];
    const media = new LocalMedia();
    await media.share();
    const { screen: picture, screenSound } = media.state.get();
    expect([picture.enabled, screenSound.enabled]).toEqual([true, true]);
    expect(picture.track?.contentHint).toBe('text');
    media.stopSharing();
    expect(media.state.get()).toMatchObject({ screen: { enabled: false, track: null }, screenSound: { track: null } });
    expect([picture.track?.readyState, screenSound.track?.readyState]).toEqual(['ended', 'ended']);
  });

  it('ends when the browser ends it, which is no problem', async () => {
    const [picture, sound] = [new FakeTrack('video'), new FakeTrack('audio')];
    screen = () => [picture, sound];
    const media = new LocalMedia();
    await media.share();
    picture.dispatchEvent(new Event('ended'));
    expect(media.state.get().screen).toMatchObject({ enabled: false, track: null, problem: null });
    expect(sound.readyState).toBe('ended');
  });

  it('is none when the user thinks better of it; a system that refuses is a problem', async () => {
    const media = new LocalMedia();
    const refusedWith = async (message: string) => {
      screen = () => {
        throw new DOMException(message, 'NotAllowedError');
      };
      await media.share();
      return media.state.get().screen;
    };
    expect(await refusedWith('Permission denied')).toMatchObject({ enabled: false, starting: false, problem: null });
    expect(await refusedWith('Permission denied by system')).toMatchObject({ enabled: false, problem: 'denied' });
  });

  it('that comes after the call has ended is let go', async () => {
    const late = new FakeTrack('video');
    screen = () => [late];
    const media = new LocalMedia();
    const sharing = media.share();
    media.suspend();
    await sharing;
    expect(media.state.get().screen.track).toBeNull();
    expect(late.readyState).toBe('ended');
  });
});

describe('a microphone that is unplugged', () => {
  it('is replaced by another one, and that is said', async () => {
    const media = new LocalMedia();
    await media.start(['mic']);
    unplug(media, 'mic-1');
    await vi.waitFor(() => expect(media.state.get().mic.problem).toBe('replaced'));
    expect(media.state.get().mic).toMatchObject({ enabled: true, deviceId: 'mic-2' });
  });

  it('is lost where there is no other one, or where it was muted', async () => {
    const alone = new LocalMedia();
    devices = devices.filter(({ deviceId }) => deviceId !== 'mic-2');
    await alone.start(['mic']);
    unplug(alone, 'mic-1');
    await vi.waitFor(() => expect(alone.state.get().devices.mic).toEqual([]));
    expect(alone.state.get().mic).toMatchObject({ enabled: false, track: null, problem: 'lost' });
  });

  it('that is muted is not replaced by one that would be on', async () => {
    const media = new LocalMedia();
    await media.start(['mic']);
    await media.setEnabled('mic', false);
    unplug(media, 'mic-1');
    await vi.waitFor(() => expect(media.state.get().devices.mic).toHaveLength(1));
    expect(media.state.get().mic).toMatchObject({ enabled: false, track: null });
  });
});

it('tells when the system holds the sound of a microphone back', async () => {
  const media = new LocalMedia();
  await media.start(['mic']);
  const track = media.state.get().mic.track as unknown as FakeTrack;
  for (const muted of [true, false]) {
    track.muted = muted;
    track.dispatchEvent(new Event(muted ? 'mute' : 'unmute'));
    expect(media.state.get().mic.interrupted).toBe(muted);
  }
});

it('opens the microphone anew with other settings, and leaves a muted one for its next use', async () => {
  const media = new LocalMedia();
  await media.start(['mic']);
  const before = media.state.get().mic.track;
  await media.setProcessing({ noiseSuppression: false });
  expect(media.state.get().mic.track).not.toBe(before);
  expect(media.state.get().processing).toEqual({
    echoCancellation: true, noiseSuppression: false, autoGainControl: true,
  });
  await media.setEnabled('mic', false);
  await media.setProcessing({ noiseSuppression: true });
  expect(media.state.get().mic).toMatchObject({ enabled: false, track: null });
});

class FakeTrack extends EventTarget {
  enabled = true;
  muted = false;
  contentHint = '';
  readyState = 'live';

  constructor(
    readonly kind: 'audio' | 'video',
    readonly deviceId?: string,
  ) {
    super();
  }

  stop(): void {
    this.readyState = 'ended';
  }

  getSettings() {
    return { deviceId: this.deviceId };
  }
}

function open(kind: MediaDeviceKind, { deviceId }: MediaTrackConstraints): FakeTrack {
  const exact = (deviceId as ConstrainDOMStringParameters | undefined)?.exact;
  const device = devices.find((one) => one.kind === kind && (exact === undefined || one.deviceId === exact));
  if (!device) throw new DOMException('none', exact ? 'OverconstrainedError' : 'NotFoundError');
  return new FakeTrack(kind === 'audioinput' ? 'audio' : 'video', device.deviceId);
}

function streamOf(tracks: FakeTrack[]) {
  return {
    getTracks: () => tracks,
    getAudioTracks: () => tracks.filter(({ kind }) => kind === 'audio'),
    getVideoTracks: () => tracks.filter(({ kind }) => kind === 'video'),
  };
}

function unplug(media: LocalMedia, id: string): void {
  devices = devices.filter(({ deviceId }) => deviceId !== id);
  media.state.get().mic.track?.dispatchEvent(new Event('ended'));
}
