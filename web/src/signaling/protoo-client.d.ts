/** Types of the parts of protoo-client 4 that the app uses. The package contains no types. */
declare module 'protoo-client' {
  export interface TransportOptions {
    /** Options of the `retry` package for failed connection attempts. */
    retry?: {
      forever?: boolean;
      retries?: number;
      factor?: number;
      minTimeout?: number;
      maxTimeout?: number;
      randomize?: boolean;
    };
  }

  export class WebSocketTransport {
    constructor(url: string, options?: TransportOptions);
  }

  export interface IncomingRequest {
    id: number;
    method: string;
    data: unknown;
  }

  export interface IncomingNotification {
    method: string;
    data: unknown;
  }

  export interface PeerEvents {
    open: () => void;
    failed: (attempt: number) => void;
    disconnected: () => void;
    close: () => void;
    request: (
      request: IncomingRequest,
      accept: (data?: object) => void,
      reject: (errorCode: number, errorReason: string) => void,
    ) => void;
    notification: (notification: IncomingNotification) => void;
  }

  export class Peer {
    constructor(transport: WebSocketTransport);
    get closed(): boolean;
    get connected(): boolean;
    close(): void;
    request(method: string, data?: object): Promise<unknown>;
    on<E extends keyof PeerEvents>(event: E, listener: PeerEvents[E]): this;
  }
}
