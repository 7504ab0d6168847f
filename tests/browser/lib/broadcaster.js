/** A broadcaster, controlled by the server's HTTP API. */

import https from 'node:https';

export class Broadcaster {
  #url;
  #path;
  peers;

  static async rtpCapabilities(url, roomId) {
    return request(url, 'GET', `/rooms/${roomId}`);
  }

  static async add(url, roomId, about) {
    const broadcaster = new Broadcaster();
    broadcaster.#url = url;
    broadcaster.#path = `/rooms/${roomId}/broadcasters/${about.id}`;
    const body = { device: { name: 'FFmpeg' }, ...about };
    ({ peers: broadcaster.peers } = await request(url, 'POST', `/rooms/${roomId}/broadcasters`, body));
    return broadcaster;
  }

  /** Capabilities of a simple receiver: those of the router with these codecs only, without extensions and RTX. */
  static only({ codecs }, mimeTypes) {
    const known = codecs.filter(({ mimeType }) => mimeTypes.includes(mimeType.toLowerCase()));
    return { codecs: known.map((codec) => ({ ...codec, rtcpFeedback: [{ type: 'nack', parameter: 'pli' }] })) };
  }

  static payloadType({ codecs }, mimeType) {
    return codecs.find((codec) => codec.mimeType.toLowerCase() === mimeType).preferredPayloadType;
  }

  createTransport(options) {
    return this.#post('/transports', options);
  }

  plainConnect({ id }, remote) {
    return this.#post(`/transports/${id}/plain-connect`, remote);
  }

  produce({ id }, { kind, codec, ssrc }) {
    const rtpParameters = { codecs: [codec], encodings: [{ ssrc }] };
    return this.#post(`/transports/${id}/producers`, { kind, rtpParameters });
  }

  consume({ id }, producerId) {
    return this.#post(`/transports/${id}/consume?producerId=${producerId}`);
  }

  remove() {
    return request(this.#url, 'DELETE', this.#path);
  }

  #post(path, body) {
    return request(this.#url, 'POST', this.#path + path, body);
  }
}

/** Sends a request to a server with a self-signed certificate and returns the JSON or text of the response. */
function request(url, method, path, body) {
  return new Promise((resolve, reject) => {
    const asked = https.request(new URL(path, url), { method, rejectUnauthorized: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      answer.on('end', () => {
        if (answer.statusCode !== 200) reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`));
        else resolve(text.startsWith('{') ? JSON.parse(text) : text);
      });
    });
    asked.on('error', reject);
    asked.end(body && JSON.stringify(body));
  });
}
