/** Measurements that depend on the load of the machine. */

const ATTEMPTS = 3;

/**
 * Measures up to three times until the result is good enough, and returns that result. A moment of load spoils one
 * measurement, a fault of the server all of them. The error lists all results.
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
