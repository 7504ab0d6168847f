/**
 * The connection to the room server: protoo over WebSocket, with typed messages.
 *
 * It connects at once, and again by itself for as long as it takes, after every loss but two:
 * `close()`, and a server that closes with code 4000 because the same peer joined elsewhere, or is
 * there already. The server's first message has a secret; with it in the URL the next connection
 * gets the peer's place at once.
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
  /** A connection is up. */
  onOpen(connection: SignalingConnection): void;
  /** A connection could not be made; the next attempt follows after a pause. */
  onAttemptFailed(attempt: number): void;
  /** The connection is lost; the next attempt is under way. */
  onLost(): void;
  /** The same peer id joined elsewhere: there will be no further attempt. */
  onReplaced(): void;
  /** Settles as the request is to be answered: ok, or an error with the rejection's message. */
  /** Resolves with what is to be answered, if anything. */
  onRequest(request: ServerRequest): Promise<object | undefined>;
  onNotification(notification: ServerNotification): void;
}

/** What a request rejects with when the connection goes before the answer comes. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';
}

/** One connection, from its opening to its loss. Requests never leak into the next one. */
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

  /** Asks the server; rejects with its `errorReason`, or a `ConnectionLostError`. */
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
  /** What shows the server that a new connection is this client's. Never leaves memory. */
  #secret: string | null = null;
  readonly #handlers: SignalingHandlers;
  /** Null once closed. */
  #peer: Peer | null;
  /** Aborted when the present connection ends. */
  #connectionEnd = new AbortController();

  constructor(url: string, handlers: SignalingHandlers) {
    this.#url = url;
    this.#handlers = handlers;
    this.#peer = this.#connect();
  }

  /** Gives up the present connection and makes a new one; `onLost` is not called. */
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
    // A peer that was closed still reports its own end: only the present one is listened to.
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
        // protoo would connect again by itself, but to the URL that it has.
        this.#peer = this.#connect();
        peer.close();
      }
      this.#handlers.onLost();
    });
    peer.on('close', () => {
      // With endless attempts, protoo gives up by itself for code 4000 only.
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
