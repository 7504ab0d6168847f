import { useEffect, useRef } from 'preact/hooks';

/** A bar that moves with the voice, so that one sees the microphone work. */
export function MicLevel({ track }: { track: MediaStreamTrack }) {
  const bar = useRef<HTMLDivElement>(null);

  useEffect(() => {
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 512;
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    // Without a user's gesture on the page some browsers start it suspended.
    void context.resume();

    const samples = new Float32Array(analyser.fftSize);
    let frame = 0;
    const draw = () => {
      analyser.getFloatTimeDomainData(samples);
      bar.current?.style.setProperty('--level', loudness(samples).toFixed(2));
      frame = requestAnimationFrame(draw);
    };
    draw();
    return () => {
      cancelAnimationFrame(frame);
      void context.close();
    };
  }, [track]);

  return <div class="mic-level" ref={bar} aria-hidden="true" />;
}

/** 0 at −60 dBFS and below, 1 at 0 dBFS. */
function loudness(samples: Float32Array): number {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  const decibels = 10 * Math.log10(power + 1e-12);
  return Math.min(1, Math.max(0, 1 + decibels / 60));
}
