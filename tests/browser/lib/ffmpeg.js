/** FFmpeg as sender and recorder of plain RTP. */

import dgram from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isFree, run } from './process.js';

const FFMPEG = process.env.FFMPEG_BIN ?? 'ffmpeg';
const FFPROBE = process.env.FFPROBE_BIN ?? 'ffprobe';

/** Time that FFmpeg may take beyond the recorded duration. */
const GRACE_MS = 30_000;

/**
 * Sends a test picture as VP8 and a tone as Opus until it is stopped.
 *
 * Each of `audio` and `video` is `{ ip, port, rtcpPort, payloadType, ssrc }`.
 */
export function sendTestPicture({ audio, video }) {
  const to = ({ ip, port, rtcpPort, payloadType, ssrc }, map) =>
    `[select=${map}:f=rtp:ssrc=${ssrc}:payload_type=${payloadType}]rtp://${ip}:${port}?rtcpport=${rtcpPort}`;
  return run(FFMPEG, [
    '-nostdin', '-loglevel', 'warning', '-re',
    '-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=15',
    '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000',
    '-map', '0:v:0', '-map', '1:a:0',
    // Browsers request key frames, which a plain sender does not get, so that it sends one every second.
    '-c:v', 'libvpx', '-b:v', '300k', '-deadline', 'realtime', '-cpu-used', '8', '-g', '15', '-pix_fmt', 'yuv420p',
    '-c:a', 'libopus', '-b:a', '64k', '-ac', '2',
    '-f', 'tee', `${to(audio, 'a')}|${to(video, 'v')}`,
  ]);
}

/**
 * Records VP8 and Opus into a WebM file for some seconds and returns its path.
 *
 * `connect` is called with `{ audio: { ip, port, rtcpPort }, video }` before FFmpeg binds these ports, and returns `{
 * audio: { ip, port, rtcpPort }, video }` of the server. A datagram is sent there from each port, because the server
 * sends nothing to an address before it has received something from it. `start` is called right before FFmpeg starts.
 */
export async function record({ seconds, payloadTypes, connect, start }) {
  const folder = await mkdtemp(path.join(tmpdir(), 'tureen-recording-'));
  const [sdpFile, file] = ['in.sdp', 'out.webm'].map((name) => path.join(folder, name));
  const audio = await freePorts();
  const video = await freePorts({ except: audio });
  const sdp = [
    'v=0',
    'o=- 0 0 IN IP4 127.0.0.1',
    's=-',
    'c=IN IP4 127.0.0.1',
    't=0 0',
    `m=audio ${audio.port} RTP/AVP ${payloadTypes.audio}`,
    `a=rtcp:${audio.rtcpPort}`,
    `a=rtpmap:${payloadTypes.audio} opus/48000/2`,
    `m=video ${video.port} RTP/AVP ${payloadTypes.video}`,
    `a=rtcp:${video.rtcpPort}`,
    `a=rtpmap:${payloadTypes.video} VP8/90000`,
    '',
  ];
  const server = await connect({ audio, video });
  for (const [here, there] of [[audio, server.audio], [video, server.video]]) {
    await speak(here.port, there.ip, there.port);
    await speak(here.rtcpPort, there.ip, there.rtcpPort);
  }
  await writeFile(sdpFile, sdp.join('\r\n'));
  const ffmpeg = run(FFMPEG, [
    '-nostdin', '-loglevel', 'warning', '-protocol_whitelist', 'file,udp,rtp', '-fflags', '+genpts',
    '-analyzeduration', '3000000', '-i', sdpFile,
    '-map', '0:a:0', '-map', '0:v:0', '-c', 'copy', '-t', String(seconds), file,
  ]);
  await ffmpeg.listens(video.port);
  await start();
  await ffmpeg.ends(seconds * 1000 + GRACE_MS);
  return file;
}

/** Sends a datagram from a local port, which is closed afterwards. */
async function speak(from, ip, port) {
  const socket = dgram.createSocket('udp4').bind(from, '127.0.0.1');
  await once(socket, 'listening');
  await new Promise((resolve, reject) => {
    socket.send('hello', port, ip, (error) => (error ? reject(error) : resolve()));
  });
  socket.close();
  await once(socket, 'close');
}

/** Content of a file: codecs, duration in seconds, and number of decodable frames. */
export async function probe(file) {
  const { stdout } = await run(FFPROBE, [
    '-loglevel', 'error', '-count_frames', '-show_entries', 'stream=codec_name,nb_read_frames:format=duration',
    '-of', 'json', file,
  ]).ends(GRACE_MS);
  const { streams, format } = JSON.parse(stdout);
  return {
    streams: streams.map(({ codec_name }) => codec_name).sort(),
    seconds: Number(format.duration),
    frames: Number(streams.find(({ codec_name }) => codec_name === 'vp8').nb_read_frames),
  };
}

/** Finds two consecutive free ports, the first of which is even, for RTP and RTCP. */
async function freePorts({ except } = {}) {
  for (;;) {
    const port = 20_000 + 2 * Math.floor(Math.random() * 5000);
    if (port === except?.port) continue;
    if ((await isFree(port)) && (await isFree(port + 1))) return { ip: '127.0.0.1', port, rtcpPort: port + 1 };
  }
}
