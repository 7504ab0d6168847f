/**
 * Runs in every page before the web app: keeps its signalling socket, so that a test can ask the
 * server something as this peer, and notes when things happened.
 */
export function recorder() {
  const timeline = { joinRequested: null, firstFrame: null };
  const answers = new Map();
  let socket = null;
  let lastId = 0x7000_0000;

  window.WebSocket = class extends WebSocket {
    constructor(...parameters) {
      super(...parameters);
      socket = this;
      this.addEventListener('message', ({ data }) => {
        const message = JSON.parse(data);
        const answer = message.response && answers.get(message.id);
        if (!answer) return;
        answers.delete(message.id);
        if (message.ok) answer.resolve(message.data);
        else answer.reject(new Error(`${message.errorCode}: ${message.errorReason}`));
      });
    }

    send(data) {
      if (timeline.joinRequested === null && /"method":"join"/.test(data)) {
        timeline.joinRequested = performance.now();
        watchForFirstFrame();
      }
      super.send(data);
    }
  };

  async function watchForFirstFrame() {
    while (timeline.firstFrame === null) {
      for (const consumer of window.tureen?.room.consumers.values() ?? []) {
        if (consumer.kind !== 'video' || consumer.closed) continue;
        for (const entry of (await consumer.getStats()).values()) {
          if (entry.type === 'inbound-rtp' && entry.framesDecoded > 0) {
            timeline.firstFrame ??= performance.now();
          }
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  window.tureenTest = {
    timeline,
    request(method, data) {
      const id = lastId++;
      const answer = new Promise((resolve, reject) => answers.set(id, { resolve, reject }));
      socket.send(JSON.stringify({ request: true, id, method, data }));
      return answer;
    },
  };
}
