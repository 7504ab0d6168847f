/**
 * Capabilities of the browser. Reading them takes about 20 ms, so that they are read once, before a room is joined.
 */

import { Device, detectDeviceAsync } from 'mediasoup-client';
import type { types } from 'mediasoup-client';
import { Chrome111 } from 'mediasoup-client/handlers/Chrome111';
import { Firefox120 } from 'mediasoup-client/handlers/Firefox120';
import { Safari12 } from 'mediasoup-client/handlers/Safari12';

const HANDLERS = { Chrome111, Firefox120, Safari12 };

let asked: Promise<types.HandlerFactory | null> | undefined;

/** Reads the browser's capabilities, unless they were read already. Never rejects. */
export function askBrowser(): Promise<types.HandlerFactory | null> {
  asked ??= ask().catch((error: unknown) => {
    // The device reads them again and reports its failure.
    console.warn('asking the browser early failed', error);
    return null;
  });
  return asked;
}

/** Creates a device for a router with these capabilities. Rejects if the browser does not support calls. */
export async function loadDevice(
  routerRtpCapabilities: Promise<types.RtpCapabilities>,
): Promise<types.Device> {
  const handlerFactory = await askBrowser();
  const device = handlerFactory ? new Device({ handlerFactory }) : await Device.factory();
  await device.load({ routerRtpCapabilities: await routerRtpCapabilities });
  return device;
}

async function ask(): Promise<types.HandlerFactory | null> {
  const name = await detectDeviceAsync();
  if (!name || !(name in HANDLERS)) return null;
  const factory = HANDLERS[name as keyof typeof HANDLERS].createFactory({});
  const recvonly = await factory.getNativeRtpCapabilities({ direction: 'recvonly' });
  const sendonly = await factory.getNativeRtpCapabilities({ direction: 'sendonly' });
  return {
    ...factory,
    getNativeRtpCapabilities: ({ direction }) =>
      Promise.resolve(direction === 'sendonly' ? sendonly : recvonly),
  };
}
