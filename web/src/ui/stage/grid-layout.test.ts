import { describe, expect, it } from 'vitest';
import { layoutGrid, pictureHeight, videoFit } from './grid-layout';
import type { Rect } from './grid-layout';

const AREAS = [
  { name: 'desktop', width: 1280, height: 640 },
  { name: 'wide window', width: 2000, height: 500 },
  { name: 'phone upright', width: 344, height: 660 },
  { name: 'phone sideways', width: 780, height: 230 },
];
const COUNTS = Array.from({ length: 49 }, (_, index) => index + 1);
const GAP = 8;

describe.each(AREAS)('on a $name', ({ width, height }) => {
  const grid = (count: number) => layoutGrid({ width, height, count, gap: GAP });

  it('keeps every tile inside the area', () => {
    for (const count of COUNTS) {
      const rects = grid(count);
      expect(rects).toHaveLength(count);
      const edge = (far: (rect: Rect) => number) => Math.max(...rects.map(far));
      expect(edge((rect) => Math.max(-rect.x, -rect.y))).toBeLessThan(0.01);
      expect(edge((rect) => rect.x + rect.width)).toBeLessThan(width + 0.01);
      expect(edge((rect) => rect.y + rect.height)).toBeLessThan(height + 0.01);
    }
  });

  it('keeps the gap between any two tiles', () => {
    for (const count of COUNTS) {
      const rects = grid(count);
      const distances = rects.flatMap((a, i) => rects.slice(i + 1).map((b) => distance(a, b)));
      expect(Math.min(...distances)).toBeGreaterThan(GAP - 0.01);
    }
  });

  it('gives all tiles one size of a natural ratio', () => {
    for (const count of COUNTS) {
      const [first, ...others] = grid(count);
      const ratio = (first?.width ?? 0) / (first?.height ?? 1);
      expect(ratio).toBeGreaterThan(height > width ? 0.79 : 1.33);
      expect(ratio).toBeLessThan(1.78);
      for (const other of others) {
        expect(other.width).toBeCloseTo(first?.width ?? 0);
        expect(other.height).toBeCloseTo(first?.height ?? 0);
      }
    }
  });

  it('never makes tiles larger when one more joins', () => {
    const areas = COUNTS.map((count) => {
      const [tile] = grid(count);
      return (tile?.width ?? 0) * (tile?.height ?? 0);
    });
    for (const [i, area] of areas.slice(1).entries()) {
      expect(area).toBeLessThan((areas[i] ?? 0) + 0.01);
    }
  });
});

it('puts two side by side on a wide screen and one above the other on an upright one', () => {
  const [left, right] = layoutGrid({ width: 1280, height: 640, count: 2, gap: GAP });
  expect(left?.y).toBe(right?.y);
  const [upper, lower] = layoutGrid({ width: 344, height: 660, count: 2, gap: GAP });
  expect(upper?.x).toBe(lower?.x);
});

it('centres an incomplete last row', () => {
  const rects = layoutGrid({ width: 1280, height: 720, count: 3, gap: GAP });
  const last = rects[2];
  expect((last?.x ?? 0) + (last?.width ?? 0) / 2).toBeCloseTo(640);
});

it('has nothing to place without tiles or without room', () => {
  expect(layoutGrid({ width: 1280, height: 720, count: 0, gap: GAP })).toEqual([]);
  expect(layoutGrid({ width: 0, height: 720, count: 3, gap: GAP })).toEqual([]);
});

describe('videoFit', () => {
  it('fills the tile with a picture of about its shape', () => {
    expect(videoFit(16 / 9, 4 / 3)).toBe('cover');
    expect(videoFit(4 / 3, 16 / 9)).toBe('cover');
    expect(videoFit(16 / 9, 1)).toBe('cover');
    expect(videoFit(16 / 9, 4 / 5)).toBe('cover');
  });

  it('shows the whole of an upright picture in a wide tile, and the other way round', () => {
    expect(videoFit(9 / 16, 16 / 9)).toBe('contain');
    expect(videoFit(16 / 9, 9 / 16)).toBe('contain');
  });

  it('cuts off little of the camera that is looked at, and nothing of a screen', () => {
    expect(videoFit(16 / 9, 1.95, 'large')).toBe('cover');
    expect(videoFit(16 / 9, 4 / 3, 'large')).toBe('contain');
    expect(videoFit(16 / 9, 1.78, 'screen')).toBe('contain');
  });
});

it('knows how high a picture is drawn', () => {
  expect(pictureHeight(16 / 9, { width: 320, height: 180 })).toBe(180);
  expect(pictureHeight(16 / 9, { width: 240, height: 180 })).toBe(180);
  expect(pictureHeight(4 / 3, { width: 320, height: 180 })).toBe(240);
  expect(pictureHeight(9 / 16, { width: 320, height: 180 })).toBe(180);
});

/** Between the edges of two rectangles, along the axis on which they are further apart. */
function distance(a: Rect, b: Rect): number {
  const gap = (a1: number, a2: number, b1: number, b2: number) => Math.max(b1 - a2, a1 - b2);
  return Math.max(
    gap(a.x, a.x + a.width, b.x, b.x + b.width),
    gap(a.y, a.y + a.height, b.y, b.y + b.height),
  );
}
