/**
 * The room's text channels: `chat` goes to everybody, `bot` to the room's bot, whose answers everybody
 * gets. One session's; the messages that were seen are in the room's state.
 */

import type { types } from 'mediasoup-client';
import type { SignalingConnection } from '../signaling/client';
import type { ServerRequests } from '../signaling/protocol';
import { decodeSignal, encodeSignal } from './signals';
import type { Signal } from './signals';

/** Whom a text is for. */
export type Recipient = 'chat' | 'bot';

export interface ChatHandlers {
  /** Whether texts can be sent now. */
  onOpen(open: boolean): void;
  /** A text came; from the bot where `peerId` is null. */
  onMessage(peerId: string | null, text: string): void;
  onSignal(peerId: string, signal: Signal): void;
}

type NewDataConsumer = ServerRequests['newDataConsumer'];

export class Chat {
  readonly #sendTransport: types.Transport;
  readonly #recvTransport: types.Transport;
  readonly #handlers: ChatHandlers;
  readonly #producers = new Map<Recipient, types.DataProducer>();
  readonly consumers = new Map<string, types.DataConsumer>();

  constructor(
    connection: SignalingConnection,
    sendTransport: types.Transport,
    recvTransport: types.Transport,
    handlers: ChatHandlers,
  ) {
    this.#sendTransport = sendTransport;
    this.#recvTransport = recvTransport;
    this.#handlers = handlers;
    sendTransport.on('producedata', (request, done, failed) => {
      const { sctpStreamParameters, label = '', protocol = '', appData } = request;
      const transportId = sendTransport.id;
      connection
        .request('produceData', { transportId, sctpStreamParameters, label, protocol, appData })
        .then(done, failed);
    });
  }

  /** Opens both channels; rejects where the browser or the server can't. */
  async open(): Promise<void> {
    for (const label of ['chat', 'bot'] as const) {
      const producer = await this.#sendTransport.produceData({ label, ordered: true });
      this.#producers.set(label, producer);
      if (label !== 'chat') continue;
      const tell = () => this.#handlers.onOpen(producer.readyState === 'open');
      producer.on('open', tell);
      producer.on('close', () => this.#handlers.onOpen(false));
      tell();
    }
  }

  /** False where the channel is not open. */
  send(to: Recipient, text: string): boolean {
    const producer = this.#producers.get(to);
    if (producer?.readyState !== 'open') return false;
    producer.send(text);
    return true;
  }

  /** Tells everybody; nobody where the channel is not open. */
  signal(signal: Signal): void {
    const producer = this.#producers.get('chat');
    if (producer?.readyState === 'open') producer.send(encodeSignal(signal));
  }

  async consume(request: NewDataConsumer): Promise<void> {
    const { id, dataProducerId, peerId, sctpStreamParameters, label, protocol, appData } = request;
    const consumer = await this.#recvTransport.consumeData({
      id,
      dataProducerId,
      sctpStreamParameters,
      label,
      protocol,
      appData: { ...appData, peerId },
    });
    this.consumers.set(id, consumer);
    if (label !== 'chat' && label !== 'bot') return;
    consumer.binaryType = 'arraybuffer';
    consumer.on('message', (data: unknown) => {
      if (typeof data === 'string') this.#handlers.onMessage(peerId, data);
      const signal = data instanceof ArrayBuffer ? decodeSignal(new Uint8Array(data)) : null;
      if (signal && peerId !== null) this.#handlers.onSignal(peerId, signal);
    });
  }

  closeConsumer(id: string): void {
    this.consumers.get(id)?.close();
    this.consumers.delete(id);
  }
}
