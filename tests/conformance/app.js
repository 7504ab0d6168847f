// An application on mediasoup without any knowledge of Tureen. recipe.test.js starts it as README.md describes.

const fs = require('node:fs');
const mediasoup = require('mediasoup');

async function main() {
  const worker = await mediasoup.createWorker();
  const mediaCodecs = [{ kind: 'audio', mimeType: 'audio/opus', clockRate: 48000, channels: 2 }];
  const router = await worker.createRouter({ mediaCodecs });
  const transport = await router.createWebRtcTransport({ listenInfos: [{ protocol: 'udp', ip: '127.0.0.1' }] });
  const process = fs.readlinkSync(`/proc/${worker.pid}/exe`);
  console.log(JSON.stringify({ process, candidates: transport.iceCandidates.length }));
  worker.close();
}

main();
