/** Measurements that depend on who else wants the cores. */

const ATTEMPTS = 3;

/**
 * Measures again, three times at most, until what comes out is good enough, and returns that: a machine that is busy
 * for a moment spoils one measurement, a fault of the server's all of them. The error has all that was measured.
 */
export async function untilGood(what, measure, isGood) {
  const seen = [];
  while (seen.length < ATTEMPTS) {
    const measured = await measure(seen.length);
    if (isGood(measured)) return measured;
    seen.push(measured);
  }
  throw new Error(`${what}: ${seen.map((measured) => JSON.stringify(measured)).join(', ')}`);
}
