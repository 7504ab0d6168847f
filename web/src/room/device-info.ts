import type { DeviceInfo } from '../signaling/protocol';

/** Browsers in the order of detection, because most user agents also contain the names further down. */
const BROWSERS: [flag: string, name: string, version: RegExp][] = [
  ['edge', 'Edge', /Edg(?:A|iOS)?\/([\d.]+)/],
  ['opera', 'Opera', /OPR\/([\d.]+)/],
  ['firefox', 'Firefox', /(?:Firefox|FxiOS)\/([\d.]+)/],
  ['chrome', 'Chrome', /(?:Chrome|CriOS)\/([\d.]+)/],
  ['safari', 'Safari', /Version\/([\d.]+).*Safari/],
];

/** Name and version of this browser, for the other participants. */
export function describeBrowser(userAgent: string): DeviceInfo {
  for (const [flag, name, pattern] of BROWSERS) {
    const version = pattern.exec(userAgent)?.[1];
    if (version) return { flag, name, version };
  }
  return { flag: 'unknown', name: 'Browser', version: '' };
}
