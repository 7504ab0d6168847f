import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { pictureHeight, videoFit } from './grid-layout';
import type { PictureKind } from './grid-layout';
import { useVisible } from '../hooks';

interface VideoViewProps {
  track: MediaStreamTrack;
  mirrored: boolean;
  /** What it is shown in, in CSS pixels. */
  box: { width: number; height: number };
  kind?: PictureKind;
  /** Called with the picture's lines on the screen in device pixels; null while it can't be seen. */
  onShown?: (lines: number | null) => void;
}

/** What a picture has before it comes. */
const USUAL_RATIO = 16 / 9;

/** More pixels than two per CSS pixel are not worth their bits. */
const MAX_PIXEL_RATIO = 2;

/** The lines of a picture on the screen, in device pixels, when it is shown in a box of CSS pixels. */
export function shownLines(box: VideoViewProps['box'], ratio = USUAL_RATIO, kind?: PictureKind): number {
  return Math.round(pictureHeight(ratio, box, kind) * Math.min(devicePixelRatio, MAX_PIXEL_RATIO));
}

/** A video track, invisible until its first picture. */
export function VideoView({ track, mirrored, box, kind, onShown }: VideoViewProps) {
  const ref = useRef<HTMLVideoElement>(null);
  const [ratio, setRatio] = useState<number | null>(null);
  const [inOwnWindow, setInOwnWindow] = useState(false);
  const visible = useVisible(ref) || inOwnWindow;
  const lines = shownLines(box, ratio ?? undefined, kind);

  useLayoutEffect(() => {
    const video = ref.current;
    if (!video) return;
    setRatio(null);
    video.srcObject = new MediaStream([track]);
    return () => {
      video.srcObject = null;
    };
  }, [track]);
  useEffect(() => {
    onShown?.(visible ? lines : null);
  }, [track, visible, lines]);
  // The closure of this track's first rendering still knows whose it was.
  useEffect(() => () => onShown?.(null), [track]);

  const onPicture = ({ currentTarget: video }: { currentTarget: HTMLVideoElement }) => {
    if (video.videoHeight > 0) setRatio(video.videoWidth / video.videoHeight);
  };
  return (
    <video
      ref={ref}
      class={`video ${mirrored ? 'mirrored' : ''} ${ratio ? 'live' : ''}`}
      style={{ objectFit: videoFit(ratio ?? USUAL_RATIO, box.width / box.height, kind) }}
      autoPlay
      playsInline
      muted
      onEnterPictureInPicture={() => setInOwnWindow(true)}
      onLeavePictureInPicture={() => setInOwnWindow(false)}
      onLoadedData={onPicture}
      onResize={onPicture}
    />
  );
}
