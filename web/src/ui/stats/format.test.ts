import { expect, it } from 'vitest';
import { bitrateText, lossText, millisecondsText } from './format';

it('writes bit rates with three digits', () => {
  expect([0, 499, 32_400, 999_499, 999_500, 1_236_000, 9_950_000].map(bitrateText)).toEqual([
    '0 kbit/s', '0 kbit/s', '32 kbit/s', '999 kbit/s', '1.00 Mbit/s', '1.24 Mbit/s', '9.9 Mbit/s',
  ]);
});

it('does not round a loss away', () => {
  expect([0, 0.0004, 0.004, 0.0994, 0.25].map(lossText)).toEqual(['0 %', '<0.1 %', '0.4 %', '9.9 %', '25 %']);
});

it('writes times on the loopback as less than a millisecond', () => {
  expect([0.2, 1.4, 120.6].map(millisecondsText)).toEqual(['<1 ms', '1 ms', '121 ms']);
});
