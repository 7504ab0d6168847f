/**
 * A server on mediasoup's Node library, which knows nothing of Tureen but the worker's binary: what its parent asks for by
 * messages `{ id, method, data }`, it does and answers with `{ id, result }` or `{ id, error }`. node-library.js starts it.
 */

const path = require('node:path');

// The conformance tests have the library.
const mediasoup = require(path.join(__dirname, '../../conformance/node_modules/mediasoup'));

const CODECS = [
  { kind: 'audio', mimeType: 'audio/opus', clockRate: 48000, channels: 2 },
  { kind: 'video', mimeType: 'video/VP8', clockRate: 90000 },
];

const transports = new Map();
const producers = new Map();
const consumers = new Map();

async function main() {
  const worker = await mediasoup.createWorker();
  worker.on('died', (error) => {
    throw error;
  });
  const router = await worker.createRouter({ mediaCodecs: CODECS });
  const methods = {
    capabilities: () => router.rtpCapabilities,

    async createTransport() {
      const transport = await router.createWebRtcTransport({ listenInfos: [{ protocol: 'udp', ip: '127.0.0.1' }] });
      transports.set(transport.id, transport);
      const { id, iceParameters, iceCandidates, dtlsParameters } = transport;
      return { id, iceParameters, iceCandidates, dtlsParameters };
    },

    connect: ({ transportId, dtlsParameters }) => transports.get(transportId).connect({ dtlsParameters }),

    async produce({ transportId, kind, rtpParameters }) {
      const producer = await transports.get(transportId).produce({ kind, rtpParameters });
      producers.set(producer.id, producer);
      return producer.id;
    },

    async consume({ transportId, producerId, rtpCapabilities }) {
      const consumer = await transports.get(transportId).consume({ producerId, rtpCapabilities, paused: true });
      consumers.set(consumer.id, consumer);
      const { id, kind, rtpParameters } = consumer;
      return { id, producerId, kind, rtpParameters };
    },

    pauseProducer: ({ id }) => producers.get(id).pause(),
    resumeProducer: ({ id }) => producers.get(id).resume(),
    closeProducer: ({ id }) => producers.get(id).close(),
    pauseConsumer: ({ id }) => consumers.get(id).pause(),
    resumeConsumer: ({ id }) => consumers.get(id).resume(),
    layers: ({ id }) => consumers.get(id).currentLayers,
    estimate: async ({ transportId }) => (await transports.get(transportId).getStats())[0].availableOutgoingBitrate,
  };
  process.on('message', async ({ id, method, data }) => {
    try {
      process.send({ id, result: await methods[method](data) });
    } catch (error) {
      process.send({ id, error: `${method}: ${error.stack}` });
    }
  });
  process.on('disconnect', () => process.exit());
  process.send({ ready: true });
}

main();
