/** Turns a page into a client without transport-wide feedback. It runs in the page, before its scripts. */
export function rembOnly() {
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (text) {
    const message = JSON.parse(text);
    if (message.method === 'join') {
      const { codecs, headerExtensions } = message.data.rtpCapabilities;
      for (const codec of codecs) codec.rtcpFeedback = codec.rtcpFeedback.filter(({ type }) => type !== 'transport-cc');
      message.data.rtpCapabilities.headerExtensions = headerExtensions.filter(({ uri }) => !uri.includes('transport-wide'));
    }
    return send.call(this, JSON.stringify(message));
  };
}
