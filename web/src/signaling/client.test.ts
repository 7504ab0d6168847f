import { beforeEach, describe, expect, it, vi } from 'vitest';
import { ConnectionLostError, SignalingClient, signalingUrl } from './client';
import type { SignalingConnection, SignalingHandlers } from './client';

/** Replacement of protoo's peer, whose events the test emits. */
const FakePeer = vi.hoisted(
  () =>
    class FakePeer {
      static all: FakePeer[] = [];
      answer: (method: string) => Promise<unknown> = () => new Promise(() => {});
      readonly #listeners = new Map<string, (...args: unknown[]) => void>();

      constructor() {
        FakePeer.all.push(this);
      }

      on(event: string, listener: (...args: unknown[]) => void): void {
        this.#listeners.set(event, listener);
      }

      emit(event: string, ...args: unknown[]): void {
        this.#listeners.get(event)?.(...args);
      }

      request(method: string): Promise<unknown> {
        return this.answer(method);
      }

      close(): void {
        this.emit('close');
      }
    },
);

/** The URLs of all transports so far. */
const urls = vi.hoisted((): string[] => []);

vi.mock('protoo-client', () => ({
  Peer: FakePeer,
  WebSocketTransport: class {
    constructor(url: string) {
      urls.push(url);
    }
  },
}));

beforeEach(() => {
  FakePeer.all = [];
  urls.length = 0;
});

describe('a connection', () => {
  it('answers requests', async () => {
    const { peer, opened } = start();
    peer.answer = (method) => Promise.resolve({ asked: method });
    const answer = await opened().request('getRouterRtpCapabilities', {});
    expect(answer).toEqual({ asked: 'getRouterRtpCapabilities' });
  });

  it('rejects pending and further requests when it is lost', async () => {
    const { peer, handlers, opened } = start();
    const first = opened();
    const underWay = first.request('restartIce', { transportId: 't' });
    peer.emit('disconnected');
    await expect(underWay).rejects.toBeInstanceOf(ConnectionLostError);
    expect(handlers.onLost).toHaveBeenCalledOnce();

    const second = opened();
    peer.answer = () => Promise.resolve({});
    await expect(first.request('closeProducer', { producerId: 'p' })).rejects.toBeInstanceOf(
      ConnectionLostError,
    );
    await expect(second.request('closeProducer', { producerId: 'p' })).resolves.toEqual({});
  });
});

describe('after a loss', () => {
  const hello = (sessionSecret?: string) => ({
    notification: true,
    method: 'mediasoup-version',
    data: { version: '3', sessionSecret },
  });

  it('the next connection uses the last secret of the server', () => {
    const { peer, handlers, opened } = start();
    opened();
    peer.emit('notification', hello('first'));
    peer.emit('disconnected');
    expect(handlers.onLost).toHaveBeenCalledOnce();
    expect(urls).toEqual(['wss://host/', 'wss://host/?sessionSecret=first']);
    const next = FakePeer.all[1];
    next?.emit('open');
    expect(handlers.onOpen).toHaveBeenCalledTimes(2);
    next?.emit('notification', hello('second'));
    next?.emit('disconnected');
    expect(urls[2]).toBe('wss://host/?sessionSecret=second');
  });

  it('protoo connects again by itself to a server that gives no secret', () => {
    const { peer, handlers, opened } = start();
    opened();
    peer.emit('notification', hello());
    peer.emit('disconnected');
    expect(FakePeer.all).toHaveLength(1);
    opened();
    expect(handlers.onOpen).toHaveBeenCalledTimes(2);
  });
});

describe('the end', () => {
  it('is reported as replaced when the server closes for good', () => {
    const { peer, handlers, opened } = start();
    const connection = opened();
    peer.emit('close');
    expect(handlers.onReplaced).toHaveBeenCalledOnce();
    expect(connection.lost).toBe(true);
  });

  it('is not reported after close()', () => {
    const { client, handlers, opened } = start();
    const connection = opened();
    client.close();
    expect(handlers.onReplaced).not.toHaveBeenCalled();
    expect(connection.lost).toBe(true);
  });

  it('of an old connection is not mistaken for that of the new one', () => {
    const { client, peer, handlers, opened } = start();
    opened();
    client.reconnect();
    peer.emit('disconnected');
    peer.emit('close');
    expect(FakePeer.all).toHaveLength(2);
    expect(handlers.onLost).not.toHaveBeenCalled();
    expect(handlers.onReplaced).not.toHaveBeenCalled();
  });
});

describe('a request of the server', () => {
  it('is accepted with the answer once it is handled', async () => {
    const { peer, handlers } = start();
    handlers.onRequest.mockResolvedValue({ preferredLayers: { spatialLayer: 1 } });
    const accept = vi.fn();
    peer.emit('request', { id: 1, method: 'newConsumer', data: {} }, accept, vi.fn());
    await vi.waitFor(() => expect(accept).toHaveBeenCalledWith({ preferredLayers: { spatialLayer: 1 } }));
  });

  it('is rejected with the reason of its failure', async () => {
    const { peer, handlers } = start();
    handlers.onRequest.mockRejectedValue(new Error('no transport'));
    const reject = vi.fn();
    peer.emit('request', { id: 1, method: 'newConsumer', data: {} }, vi.fn(), reject);
    await vi.waitFor(() => expect(reject).toHaveBeenCalledWith(500, 'no transport'));
  });

  it('is rejected with its name if it is unknown', async () => {
    const { peer } = start();
    const reject = vi.fn();
    peer.emit('request', { id: 1, method: 'dance', data: {} }, vi.fn(), reject);
    await vi.waitFor(() => expect(reject).toHaveBeenCalledWith(500, expect.stringContaining('dance')));
  });
});

it('finds the signalling on the page’s own server', () => {
  expect(signalingUrl('https://host:4443', 'r', 'p1', 'a.b.c')).toBe(
    'wss://host:4443/?roomId=r&peerId=p1&access_token=a.b.c',
  );
  expect(signalingUrl('https://host:4443', 'a&b', 'p1')).toBe(
    'wss://host:4443/?roomId=a%26b&peerId=p1',
  );
});

function start() {
  const handlers = {
    onOpen: vi.fn<(connection: SignalingConnection) => void>(),
    onAttemptFailed: vi.fn(),
    onLost: vi.fn(),
    onReplaced: vi.fn(),
    onRequest: vi.fn(async (): Promise<object | undefined> => undefined),
    onNotification: vi.fn(),
  } satisfies SignalingHandlers;
  const client = new SignalingClient('wss://host/', handlers);
  const [peer] = FakePeer.all;
  if (!peer) throw new Error('no peer was made');
  const opened = (): SignalingConnection => {
    peer.emit('open');
    const [connection] = handlers.onOpen.mock.lastCall ?? [];
    if (!connection) throw new Error('not opened');
    return connection;
  };
  return { client, handlers, peer, opened };
}
