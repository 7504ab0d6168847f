/** How loud a track is, while it is watched. */

/** Calls back with the loudness (0 to 1), so often or before each drawing; until the returned function is called. */
export function watchLevel(track: MediaStreamTrack, onLevel: (level: number) => void, everyMs?: number): () => void {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 512;
  context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  // Without a user's gesture on the page some browsers start it suspended.
  void context.resume();

  const samples = new Float32Array(analyser.fftSize);
  const look = () => {
    analyser.getFloatTimeDomainData(samples);
    onLevel(loudness(samples));
  };
  let frame = 0;
  const draw = () => {
    look();
    frame = requestAnimationFrame(draw);
  };
  const timer = everyMs === undefined ? undefined : setInterval(look, everyMs);
  if (everyMs === undefined) draw();
  return () => {
    cancelAnimationFrame(frame);
    clearInterval(timer);
    void context.close();
  };
}

/** 0 at −60 dBFS and below, 1 at 0 dBFS. */
export function loudness(samples: Float32Array): number {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  const decibels = 10 * Math.log10(power + 1e-12);
  return Math.min(1, Math.max(0, 1 + decibels / 60));
}
