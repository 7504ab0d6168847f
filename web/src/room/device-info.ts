import type { DeviceInfo } from '../signaling/protocol';

/** Tried in order: most browsers also claim to be those further down. */
const BROWSERS: [flag: string, name: string, version: RegExp][] = [
  ['edge', 'Edge', /Edg(?:A|iOS)?\/([\d.]+)/],
  ['opera', 'Opera', /OPR\/([\d.]+)/],
  ['firefox', 'Firefox', /(?:Firefox|FxiOS)\/([\d.]+)/],
  ['chrome', 'Chrome', /(?:Chrome|CriOS)\/([\d.]+)/],
  ['safari', 'Safari', /Version\/([\d.]+).*Safari/],
];

/** The browser this runs in, as the other participants are told. */
export function describeBrowser(userAgent: string): DeviceInfo {
  for (const [flag, name, pattern] of BROWSERS) {
    const version = pattern.exec(userAgent)?.[1];
    if (version) return { flag, name, version };
  }
  return { flag: 'unknown', name: 'Browser', version: '' };
}
