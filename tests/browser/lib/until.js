const POLL_MS = 50;

/**
 * Calls a function repeatedly until its result is truthy, and returns the result. After a time-out the error contains
 * the last result and, if given, that of `explain`.
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
