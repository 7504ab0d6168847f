/** GStreamer as a sender of plain RTP. */

import { run } from './process.js';

const GST_LAUNCH = process.env.GST_LAUNCH_BIN ?? 'gst-launch-1.0';

/**
 * Sends a test picture as VP8 and a tone as Opus until it is stopped.
 *
 * Each of `audio` and `video` is `{ ip, port, rtcpPort, payloadType, ssrc }`.
 */
export function sendTestPicture({ audio, video }) {
  const session = (number, { ip, port, rtcpPort }) =>
    `! rtpbin.send_rtp_sink_${number} ` +
    `rtpbin.send_rtp_src_${number} ! udpsink host=${ip} port=${port} ` +
    `rtpbin.send_rtcp_src_${number} ! udpsink host=${ip} port=${rtcpPort} sync=false async=false`;
  const pipeline = [
    'rtpbin name=rtpbin rtp-profile=avpf',
    'videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=180,framerate=15/1 ! videoconvert',
    '! vp8enc target-bitrate=300000 deadline=1 cpu-used=8 keyframe-max-dist=15',
    `! rtpvp8pay pt=${video.payloadType} ssrc=${video.ssrc} picture-id-mode=15-bit`,
    session(0, video),
    'audiotestsrc is-live=true freq=440 ! audioconvert ! audioresample ! opusenc bitrate=64000',
    `! rtpopuspay pt=${audio.payloadType} ssrc=${audio.ssrc}`,
    session(1, audio),
  ];
  return launch(`--quiet ${pipeline.join(' ')}`);
}

/** Runs `gst-launch-1.0` with a pipeline that contains no quotes. */
export function launch(pipeline) {
  return run(GST_LAUNCH, pipeline.split(' '));
}
