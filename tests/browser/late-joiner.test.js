/** Somebody comes late into a running call. */

import { after, before, describe, it } from 'node:test';
import { untilGood } from './lib/attempts.js';
import { launchChromium } from './lib/browsers.js';
import { Participant } from './lib/participant.js';
import { startServer } from './lib/server.js';
import { until } from './lib/until.js';

const RUNS = 5;

/**
 * From the click on Join to the first picture on the screen, as the median of all runs. 300 ms is the aim, and an idle
 * machine takes half of that; where three browsers and other programs share two cores, all that is asked of them waits.
 */
const MAX_MEDIAN_MS = 500;

/**
 * A single run may meet the key frames of the other two encoders, a garbage collection, or a neighbour on the
 * machine.
 */
const MAX_MS = 1500;

/**
 * A camera is asked for one key frame, of its large layer, which fits the tile. It is asked again when it has not answered
 * after these times: the request or the answer may have been lost.
 */
const REPEATED_AFTER_MS = [350, 1000];

/**
 * Of the ten cameras of all runs, the two of one joiner: one in some thirty begins with the small layer, on a busy machine
 * more often, because a receiver that stalls makes the first probe find little.
 */
const MAX_ODD = 2;

/** Small pictures: three browsers encode and decode in software here, on the cores that the server has too. */
const HEIGHT = '360';

describe('a third tab', () => {
  let server;
  let chromium;

  before(async () => {
    server = await startServer();
    chromium = await launchChromium();
  });

  after(async () => {
    await chromium?.close();
    await server?.stop();
  });

  it('sees a picture at once, for one key frame of each camera', async (t) => {
    const roomId = 'late';
    const join = (name) => Participant.join(chromium, server.url, { roomId, name, height: HEIGHT });
    const [alice, bob] = [await join('Alice'), await join('Bob')];
    await Promise.all([alice.frameRateFrom('Bob', 3), bob.frameRateFrom('Alice', 3)]);

    const enter = async () => {
      const before = await Promise.all([keyFrameRequests(alice), keyFrameRequests(bob)]);
      const options = { roomId, name: 'Carol', height: HEIGHT };
      const carol = await Participant.joinByLobby(chromium, server.url, options);
      const times = await carol.timeToFirstFrame();
      const rates = await Promise.all([carol.frameRateFrom('Alice', 1), carol.frameRateFrom('Bob', 1)]);
      t.diagnostic(`then ${rates.map((rate) => rate.toFixed(1)).join(' and ')} fps`);

      const after = await Promise.all([keyFrameRequests(alice), keyFrameRequests(bob)]);
      const asked = [];
      for (const [index, camera] of ['Alice', 'Bob'].entries()) {
        const [small, large] = after[index].map((count, layer) => count - before[index][layer]);
        asked.push({ small, large, pictureAfter: await carol.timeToFirstFrameOf(camera) });
      }
      carol.assertNoErrors();
      await carol.close();
      await until('Carol is gone', async () =>
        (await Promise.all([alice.peers(), bob.peers()])).every((others) => others.length === 1));
      return { ...times, asked };
    };
    const measure = async () => {
      const runs = [];
      while (runs.length < RUNS) runs.push(await enter());
      const fromClick = runs.map((run) => run.fromClick);
      t.diagnostic(`first picture after the click: ${fromClick.join(', ')} ms, median ${median(fromClick)} ms`);
      const fromJoin = runs.map((run) => run.fromJoin);
      t.diagnostic(`after the join request: ${fromJoin.join(', ')} ms, median ${median(fromJoin)} ms`);
      const asked = runs.flatMap((run) => run.asked);
      const counts = asked.map(({ small, large }) => `${small} + ${large}`);
      t.diagnostic(`key frame requests to Alice and Bob, small layer + large: ${counts.join(', ')}`);
      return { fromClick, asked, inLobby: runs.every(({ announcedAhead }) => announcedAhead) };
    };
    await untilGood('late joiners', measure, ({ fromClick, asked, inLobby }) =>
      inLobby &&
      median(fromClick) <= MAX_MEDIAN_MS &&
      Math.max(...fromClick) <= MAX_MS &&
      asked.filter((camera) => !isOneRequest(camera)).length <= MAX_ODD);
    for (const participant of [alice, bob]) participant.assertNoErrors();
  });
});

/** A picture that came soon took one request; one that came late may have taken as many as were repeated by then. */
function isOneRequest({ small, large, pictureAfter }) {
  const repeated = REPEATED_AFTER_MS.filter((ms) => pictureAfter > ms).length;
  return small === 0 && large >= 1 && large <= 1 + repeated;
}

/** How often the server has asked a participant's camera for key frames of its small and its large layer. */
async function keyFrameRequests(participant) {
  const { camera } = await participant.ids();
  const streams = await participant.request('getProducerStats', { producerId: camera });
  return ['r0', 'r1'].map((rid) => {
    const { pliCount, firCount } = streams.find((stream) => stream.rid === rid);
    return pliCount + firCount;
  });
}

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
}
