import { useEffect, useState } from 'preact/hooks';
import type { SourceState } from '../../room/local-media';
import { watchLevel } from '../audio-level';

const LOOK_MS = 100;

/** From about −34 dBFS on it is somebody who speaks, and no noise. */
const LOUD = 0.43;

/** So many loud looks among the last ones make a word, and no cough. */
const WORD = { loud: 5, of: 12 };

/** Hears words in the loudness of a microphone. */
export class WordDetector {
  #looks: boolean[] = [];

  /** Takes the next level, and tells whether somebody is speaking. */
  next(level: number): boolean {
    this.#looks = [...this.#looks, level >= LOUD].slice(-WORD.of);
    return this.#looks.filter(Boolean).length >= WORD.loud;
  }
}

/** How long the notice stands after the last word. */
const NOTICE_MS = 4000;

/** Whether the user speaks although the microphone is off, now or a moment ago. */
export function useTalkingMuted({ track, enabled }: SourceState): boolean {
  const [talking, setTalking] = useState(false);
  useEffect(() => {
    setTalking(false);
    if (!track || enabled) return;
    // The track itself is silent while it is off.
    const heard = track.clone();
    heard.enabled = true;
    const words = new WordDetector();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = watchLevel(
      heard,
      (level) => {
        if (!words.next(level)) return;
        setTalking(true);
        clearTimeout(timer);
        timer = setTimeout(() => setTalking(false), NOTICE_MS);
      },
      LOOK_MS,
    );
    return () => {
      clearTimeout(timer);
      stop();
      heard.stop();
    };
  }, [track, enabled]);
  return talking;
}
