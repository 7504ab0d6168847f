/** FFmpeg as sender and recorder of plain RTP. */

import { spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

const FFMPEG = process.env.FFMPEG_BIN ?? 'ffmpeg';
const FFPROBE = process.env.FFPROBE_BIN ?? 'ffprobe';

/** How long FFmpeg may take beyond what it records. */
const GRACE_MS = 15_000;

/**
 * Sends a test picture as VP8 and a tone as Opus until it is stopped.
 *
 * Each of `audio` and `video` is `{ ip, port, rtcpPort, payloadType, ssrc }`.
 */
export function sendTestPicture({ audio, video }) {
  const to = ({ ip, port, rtcpPort, payloadType, ssrc }, map) =>
    `[select=${map}:f=rtp:ssrc=${ssrc}:payload_type=${payloadType}]rtp://${ip}:${port}?rtcpport=${rtcpPort}`;
  return run(FFMPEG, [
    '-loglevel', 'warning', '-re',
    '-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=15',
    '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000',
    '-map', '0:v:0', '-map', '1:a:0',
    // Browsers ask for key frames that a plain encoder can't give on request: one a second does.
    '-c:v', 'libvpx', '-b:v', '300k', '-deadline', 'realtime', '-cpu-used', '8', '-g', '15', '-pix_fmt', 'yuv420p',
    '-c:a', 'libopus', '-b:a', '64k', '-ac', '2',
    '-f', 'tee', `${to(audio, 'a')}|${to(video, 'v')}`,
  ]);
}

/**
 * Records VP8 and Opus into a WebM file for some seconds and returns its path.
 *
 * `start` is called with `{ audio: { ip, port, rtcpPort }, video }` when FFmpeg is about to listen there.
 */
export async function record({ seconds, payloadTypes, start }) {
  const folder = await mkdtemp(path.join(tmpdir(), 'tureen-recording-'));
  const [sdpFile, file] = ['in.sdp', 'out.webm'].map((name) => path.join(folder, name));
  const [audio, video] = [await freePorts(), await freePorts()];
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
  await writeFile(sdpFile, sdp.join('\r\n'));
  const ffmpeg = run(FFMPEG, [
    '-loglevel', 'warning', '-protocol_whitelist', 'file,udp,rtp', '-fflags', '+genpts',
    '-analyzeduration', '3000000', '-i', sdpFile,
    '-map', '0:a:0', '-map', '0:v:0', '-c', 'copy', '-t', String(seconds), file,
  ]);
  await ffmpeg.listens(video.port);
  await start({ audio, video });
  await ffmpeg.ends(seconds * 1000 + GRACE_MS);
  return file;
}

/** What a file holds: codecs, seconds, and the pictures that can be decoded. */
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

function run(command, parameters) {
  const child = spawn(command, parameters, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (chunk) => (stdout += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk) => (stderr += chunk));
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `code ${code}`));
  });
  return {
    /** Waits for a good end. */
    async ends(limitMs) {
      const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
      const end = await ended;
      clearTimeout(timer);
      if (end !== 'code 0') throw new Error(`${command} ended with ${end}\n${stderr}`);
      return { stdout };
    },
    /** Waits until somebody has the port. */
    async listens(port) {
      while (await isFree(port)) {
        if (child.exitCode !== null) throw new Error(`${command} ended\n${stderr}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async stop() {
      child.kill('SIGINT');
      await ended;
    },
  };
}

/** Two ports in a row, the first of them even, as RTP and RTCP like it. */
async function freePorts() {
  for (;;) {
    const port = 20_000 + 2 * Math.floor(Math.random() * 5000);
    if ((await isFree(port)) && (await isFree(port + 1))) return { ip: '127.0.0.1', port, rtcpPort: port + 1 };
  }
}

function isFree(port) {
  return new Promise((resolve) => {
    const socket = dgram.createSocket('udp4');
    socket.once('error', () => resolve(false));
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => socket.close(() => resolve(true)));
  });
}
