import type { LocalMediaState, MediaProblem } from '../room/local-media';

/** What is wrong with microphone, camera and shared screen and what helps, one sentence or two for each problem. */
export function problemTexts({ mic, camera, screen }: LocalMediaState): string[] {
  const texts = screen.problem ? [screenProblemText(screen.problem)] : [];
  if (mic.problem && mic.problem === camera.problem) {
    return [...texts, problemText('microphone and camera', true, mic.problem)];
  }
  if (mic.problem) texts.push(problemText('microphone', false, mic.problem));
  if (camera.problem) texts.push(problemText('camera', false, camera.problem));
  if (mic.interrupted) texts.push('Your microphone gives no sound: the system or another program holds it back.');
  if (camera.interrupted) texts.push('Your camera gives no picture: the system or another program holds it back.');
  return texts;
}

function problemText(name: string, both: boolean, problem: MediaProblem): string {
  const [is, was, it] = both ? ['are', 'were', 'them'] : ['is', 'was', 'it'];
  switch (problem) {
    case 'insecure':
      return `The browser offers ${name} only on a secure (https) page.`;
    case 'denied':
      return `Your ${name} ${is} blocked. Click the symbol beside the page’s address, allow ${it}, and turn ${it} on here. If the browser has allowed ${it}, the system’s privacy settings may not.`;
    case 'not-found':
      return `No ${name} found. Plug one in, or check that it is switched on.`;
    case 'busy':
      return `Your ${name} ${is} in use by another program. Close that one, and turn ${it} on here.`;
    case 'lost':
      return `Your ${name} ${was} disconnected. Plug ${it} in again, or choose another one in the settings.`;
    case 'replaced':
      return `Your ${name} ${was} disconnected. Another one is used now.`;
    case 'failed':
      return `Your ${name} could not be started.`;
  }
}

function screenProblemText(problem: MediaProblem): string {
  return problem === 'denied'
    ? 'The system does not let the browser record the screen. Its privacy settings can allow it.'
    : 'The screen could not be shared.';
}
