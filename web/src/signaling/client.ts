/**
 * Connection to the room server: protoo over WebSocket, with typed messages.
 *
 * It connects at once, and reconnects after every loss except for two: `close()`, and a close by the server with code
 * 4000, because the same peer has joined elsewhere or exists already. The server's first message contains a secret.
 * With the secret in its URL the next connection replaces this one at once.
 */

import { Peer, WebSocketTransport } from 'protoo-client';
import type { IncomingRequest } from 'protoo-client';
import type {
  ClientMethod,
  RequestData,
  ResponseData,
  ServerNotification,
  ServerRequest,
} from './protocol';

export interface SignalingHandlers {
  /** A connection is open. */
  onOpen(connection: SignalingConnection): void;
  /** A connection attempt has failed; the next one follows after a pause. */
  onAttemptFailed(attempt: number): void;
  /** The connection is lost, and the next attempt has started. */
  onLost(): void;
  /** The same peer id has joined elsewhere. There are no further attempts. */
  onReplaced(): void;
  /** Handles a request. Resolves with the response's data, if any; a rejection is sent as an error response. */
  onRequest(request: ServerRequest): Promise<object | undefined>;
  onNotification(notification: ServerNotification): void;
}

/** Error of a request whose connection is lost before the response arrives. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';
}

/** One connection, from its opening to its loss. Its requests do not continue on the next one. */
export class SignalingConnection {
  readonly #peer: Peer;
  readonly #end: AbortSignal;

  constructor(peer: Peer, end: AbortSignal) {
    this.#peer = peer;
    this.#end = end;
  }

  get lost(): boolean {
    return this.#end.aborted;
  }

  /** Sends a request. Rejects with the server's `errorReason`, or with a `ConnectionLostError`. */
  async request<M extends ClientMethod>(method: M, data: RequestData<M>): Promise<ResponseData<M>> {
    const error = new ConnectionLostError(`connection lost during ${method}`);
    if (this.lost) throw error;
    let onEnd = () => {};
    const lost = new Promise<never>((_, reject) => {
      onEnd = () => reject(error);
      this.#end.addEventListener('abort', onEnd);
    });
    try {
      const answer = this.#peer.request(method, data);
      return (await Promise.race([answer, lost])) as ResponseData<M>;
    } finally {
      this.#end.removeEventListener('abort', onEnd);
    }
  }
}

export class SignalingClient {
  readonly #url: string;
  /** Secret by which the server accepts a new connection of this client. It is kept in memory only. */
  #secret: string | null = null;
  readonly #handlers: SignalingHandlers;
  /** Null after `close()`. */
  #peer: Peer | null;
  /** Aborted at the end of the current connection. */
  #connectionEnd = new AbortController();

  constructor(url: string, handlers: SignalingHandlers) {
    this.#url = url;
    this.#handlers = handlers;
    this.#peer = this.#connect();
  }

  /** Closes the current connection and opens a new one. `onLost` is not called. */
  reconnect(): void {
    this.close();
    this.#peer = this.#connect();
  }

  close(): void {
    const peer = this.#peer;
    this.#peer = null;
    this.#connectionEnd.abort();
    peer?.close();
  }

  #connect(): Peer {
    const transport = new WebSocketTransport(withSecret(this.#url, this.#secret), {
      retry: { forever: true, factor: 1.6, minTimeout: 500, maxTimeout: 8000, randomize: true },
    });
    const peer = new Peer(transport);
    // A closed peer still reports its own end, so that events of other peers than the current one are ignored.
    const present = () => peer === this.#peer;

    peer.on('open', () => {
      if (!present()) return;
      this.#connectionEnd = new AbortController();
      this.#handlers.onOpen(new SignalingConnection(peer, this.#connectionEnd.signal));
    });
    peer.on('failed', (attempt) => {
      if (present()) this.#handlers.onAttemptFailed(attempt);
    });
    peer.on('disconnected', () => {
      if (!present()) return;
      this.#connectionEnd.abort();
      if (this.#secret !== null) {
        // protoo would reconnect too, but to the old URL.
        this.#peer = this.#connect();
        peer.close();
      }
      this.#handlers.onLost();
    });
    peer.on('close', () => {
      // Its attempts are unlimited, so that protoo gives up only after code 4000.
      if (!present()) return;
      this.close();
      this.#handlers.onReplaced();
    });
    peer.on('request', (request, accept, reject) => {
      if (!present()) return;
      this.#answer(request).then(
        (answer) => accept(answer),
        (error: unknown) => reject(500, error instanceof Error ? error.message : String(error)),
      );
    });
    peer.on('notification', (notification) => {
      if (!present()) return;
      const known = notification as ServerNotification;
      if (known.method === 'mediasoup-version') this.#secret = known.data.sessionSecret ?? null;
      this.#handlers.onNotification(known);
    });
    return peer;
  }

  async #answer(request: IncomingRequest): Promise<object | undefined> {
    if (request.method !== 'newConsumer' && request.method !== 'newDataConsumer') {
      throw new Error(`unknown request method "${request.method}"`);
    }
    return this.#handlers.onRequest(request as ServerRequest);
  }
}

function withSecret(url: string, secret: string | null): string {
  if (secret === null) return url;
  const complete = new URL(url);
  complete.searchParams.set('sessionSecret', secret);
  return complete.href;
}

/** The URL of a room's signalling on the server that served the page. */
export function signalingUrl(
  origin: string,
  roomId: string,
  peerId: string,
  accessToken: string | null = null,
): string {
  const url = new URL('/', origin);
  url.protocol = url.protocol === 'http:' ? 'ws:' : 'wss:';
  const query = new URLSearchParams({ roomId, peerId });
  if (accessToken !== null) query.set('access_token', accessToken);
  url.search = query.toString();
  return url.href;
}
