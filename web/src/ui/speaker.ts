/** What plays the sound of others, and how it is tried. */

/** Plays a short tone by the speaker of that id, null for the system's choice. Rejects where it can't be played. */
export async function playTestTone(speakerId: string | null): Promise<void> {
  const context = new AudioContext();
  const end = context.createMediaStreamDestination();
  const loudness = context.createGain();
  loudness.connect(end);
  const start = context.currentTime + 0.05;
  for (const [index, frequency] of [523, 659, 784].entries()) {
    const tone = context.createOscillator();
    tone.frequency.value = frequency;
    tone.connect(loudness);
    tone.start(start + index * 0.22);
    tone.stop(start + index * 0.22 + 0.2);
  }
  loudness.gain.value = 0.25;
  const audio = new Audio();
  audio.srcObject = end.stream;
  try {
    await playBy(audio, speakerId);
    await audio.play();
    await new Promise((resolve) => setTimeout(resolve, 900));
  } finally {
    audio.srcObject = null;
    await context.close();
  }
}

/** Lets an element play by a speaker. A speaker that is gone, or a browser without choice, leaves it where it is. */
export async function playBy(audio: HTMLAudioElement, speakerId: string | null): Promise<void> {
  try {
    await audio.setSinkId?.(speakerId ?? '');
  } catch (error) {
    console.warn('this speaker can not be used', error);
  }
}
