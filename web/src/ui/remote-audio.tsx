import { useEffect, useRef, useState } from 'preact/hooks';
import type { ConsumerState } from '../room/state';

/**
 * Plays everyone's sound, independent of what is on screen. A browser that wants a click first gets
 * a button for it.
 */
export function RemoteAudio({ consumers }: { consumers: ConsumerState[] }) {
  const [blocked, setBlocked] = useState(false);
  const container = useRef<HTMLDivElement>(null);

  const unblock = () => {
    setBlocked(false);
    for (const audio of container.current?.querySelectorAll('audio') ?? []) {
      audio.play().catch(() => setBlocked(true));
    }
  };
  return (
    <>
      <div ref={container} hidden>
        {consumers.map((consumer) => (
          <AudioView key={consumer.id} track={consumer.track} onBlocked={() => setBlocked(true)} />
        ))}
      </div>
      {blocked && (
        <button class="button primary unblock" onClick={unblock}>
          Turn on sound
        </button>
      )}
    </>
  );
}

function AudioView({ track, onBlocked }: { track: MediaStreamTrack; onBlocked: () => void }) {
  const ref = useRef<HTMLAudioElement>(null);
  useEffect(() => {
    const audio = ref.current;
    if (!audio) return;
    audio.srcObject = new MediaStream([track]);
    audio.play().catch((error: unknown) => {
      if (error instanceof DOMException && error.name === 'NotAllowedError') onBlocked();
    });
    return () => {
      audio.srcObject = null;
    };
  }, [track]);
  return <audio ref={ref} />;
}
