import type { MediaProblem, MediaSource } from '../room/local-media';

const NAMES: Record<MediaSource, string> = { mic: 'microphone', camera: 'camera' };

/** One sentence for the user: what is wrong and what helps. */
export function problemText(source: MediaSource, problem: MediaProblem): string {
  const name = NAMES[source];
  switch (problem) {
    case 'insecure':
      return `The browser offers the ${name} only on a secure (https) page.`;
    case 'denied':
      return `The ${name} is blocked. Allow it in the browser’s site settings to use it.`;
    case 'not-found':
      return `No ${name} found.`;
    case 'busy':
      return `The ${name} is in use by another program.`;
    case 'lost':
      return `The ${name} was disconnected.`;
    case 'failed':
      return `The ${name} could not be started.`;
  }
}
