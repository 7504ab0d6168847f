import { useEffect, useRef } from 'preact/hooks';
import { watchLevel } from './audio-level';

/** A bar that moves with the voice, so that one sees the microphone work. */
export function MicLevel({ track }: { track: MediaStreamTrack }) {
  const bar = useRef<HTMLDivElement>(null);
  useEffect(
    () => watchLevel(track, (level) => bar.current?.style.setProperty('--level', level.toFixed(2))),
    [track],
  );
  return <div class="mic-level" ref={bar} aria-hidden="true" />;
}
