import { useEffect, useRef, useState } from 'preact/hooks';
import type { ConsumerState } from '../../room/state';
import { playBy } from '../speaker';

interface RemoteAudioProps {
  consumers: ConsumerState[];
  /** Null for the system's choice. */
  speakerId: string | null;
}

/**
 * Plays everyone's sound, independent of what is on screen. A browser that wants a click first gets
 * a button for it.
 */
export function RemoteAudio({ consumers, speakerId }: RemoteAudioProps) {
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
          <AudioView
            key={consumer.id}
            track={consumer.track}
            speakerId={speakerId}
            onBlocked={() => setBlocked(true)}
          />
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

interface AudioViewProps {
  track: MediaStreamTrack;
  speakerId: string | null;
  onBlocked: () => void;
}

function AudioView({ track, speakerId, onBlocked }: AudioViewProps) {
  const ref = useRef<HTMLAudioElement>(null);
  useEffect(() => {
    if (ref.current && speakerId !== null) void playBy(ref.current, speakerId);
  }, [speakerId]);
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
