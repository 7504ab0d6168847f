import { expect, it } from 'vitest';
import { loudness } from '../audio-level';
import { WordDetector } from './talking-muted';

const heard = (...levels: number[]) => {
  const words = new WordDetector();
  return levels.map((level) => words.next(level)).includes(true);
};

it('takes sound that lasts for words, pauses between syllables included', () => {
  expect(heard(0.6, 0.6, 0.6, 0.6, 0.6)).toBe(true);
  expect(heard(0.6, 0.1, 0.7, 0.1, 0.6, 0.1, 0.6, 0.1, 0.6)).toBe(true);
});

it('takes neither a cough nor noise for words', () => {
  expect(heard(0.1, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1)).toBe(false);
  expect(heard(...Array.from({ length: 100 }, () => 0.3))).toBe(false);
  expect(heard(...Array.from({ length: 100 }, (_, index) => (index % 4 === 0 ? 0.9 : 0)))).toBe(false);
});

it('measures loudness from −60 dBFS to 0', () => {
  const sine = (amplitude: number) => Float32Array.from({ length: 480 }, (_, i) => amplitude * Math.sin((i * Math.PI) / 24));
  expect(loudness(sine(0))).toBe(0);
  expect(loudness(sine(1))).toBeCloseTo(0.95, 2);
  expect(loudness(sine(0.0001))).toBe(0);
});
