const POLL_MS = 50;

/**
 * Asks again and again until the answer is truthy, and returns it. When that takes too long, the error has
 * the last answer in it and, where given, what `explain` says.
 */
export async function until(what, ask, { timeoutMs = 60_000, explain = () => '' } = {}) {
  const end = performance.now() + timeoutMs;
  let last;
  do {
    last = await ask();
    if (last) return last;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  } while (performance.now() < end);
  const details = await Promise.resolve(explain()).catch((error) => `no explanation: ${error.message}`);
  throw new Error(`timed out after ${timeoutMs} ms: ${what} (last: ${JSON.stringify(last)})\n${details}`);
}
