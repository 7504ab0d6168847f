import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { videoFit } from './grid-layout';

interface VideoViewProps {
  track: MediaStreamTrack;
  mirrored: boolean;
  /** Width to height of what it is shown in. */
  boxRatio: number;
}

/** A video track, invisible until its first picture. */
export function VideoView({ track, mirrored, boxRatio }: VideoViewProps) {
  const ref = useRef<HTMLVideoElement>(null);
  const [ratio, setRatio] = useState<number | null>(null);

  useLayoutEffect(() => {
    const video = ref.current;
    if (!video) return;
    setRatio(null);
    video.srcObject = new MediaStream([track]);
    return () => {
      video.srcObject = null;
    };
  }, [track]);

  const onPicture = ({ currentTarget: video }: { currentTarget: HTMLVideoElement }) => {
    if (video.videoHeight > 0) setRatio(video.videoWidth / video.videoHeight);
  };
  return (
    <video
      ref={ref}
      class={`video ${mirrored ? 'mirrored' : ''} ${ratio ? 'live' : ''}`}
      style={{ objectFit: ratio ? videoFit(ratio, boxRatio) : 'cover' }}
      autoPlay
      playsInline
      muted
      disablePictureInPicture
      onLoadedData={onPicture}
      onResize={onPicture}
    />
  );
}
