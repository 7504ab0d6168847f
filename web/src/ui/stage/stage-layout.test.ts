import { describe, expect, it } from 'vitest';
import { CORNERS, capacityOf, cornerAt, cornerTowards, layoutCorner, layoutStage } from './stage-layout';

const AREAS = [
  { name: 'desktop', width: 1256, height: 640 },
  { name: 'phone upright', width: 374, height: 690 },
  { name: 'phone sideways', width: 780, height: 230 },
];
const GAP = 10;

describe.each(AREAS)('on a $name', (area) => {
  it('the large tile has most of the area, and small ones do not cover it', () => {
    for (let count = 1; count < 40; count++) {
      const { focus, tiles } = layoutStage(area, true, count, GAP);
      expect(tiles).toHaveLength(Math.min(count, capacityOf(area, GAP).beside));
      expect((focus?.width ?? 0) * (focus?.height ?? 0)).toBeGreaterThan(0.6 * area.width * area.height);
      for (const tile of tiles) {
        const apart = tile.x >= (focus?.width ?? 0) + GAP - 0.01 || tile.y >= (focus?.height ?? 0) + GAP - 0.01;
        expect(apart).toBe(true);
        expect(tile.x).toBeGreaterThanOrEqual(0);
        expect(tile.y).toBeGreaterThanOrEqual(0);
        expect(tile.x + tile.width).toBeLessThan(area.width + 0.01);
        expect(tile.y + tile.height).toBeLessThan(area.height + 0.01);
      }
    }
  });

  it('the large tile has all of it when it is alone', () => {
    const { focus, tiles } = layoutStage(area, true, 0, GAP);
    expect(focus).toMatchObject({ x: 0, y: 0, width: area.width, height: area.height });
    expect(tiles).toEqual([]);
  });

  it('the self view is inside each corner', () => {
    for (const corner of CORNERS) {
      const { x, y, width, height } = layoutCorner(area, corner);
      expect(Math.min(x, y)).toBeGreaterThan(0);
      expect(x + width).toBeLessThan(area.width);
      expect(y + height).toBeLessThan(area.height);
      expect(cornerAt(area, x + width / 2, y + height / 2)).toBe(corner);
      expect(width * height).toBeLessThan(area.width * area.height / 8);
    }
  });
});

it('leaves most of a small tile in view below the self view', () => {
  const area = { width: 1256, height: 640 };
  const [tile] = layoutStage(area, false, 25, GAP).tiles;
  const { width, height } = layoutCorner(area, 'bottom-right', tile?.width);
  expect(width * height).toBeLessThan((tile?.width ?? 0) * (tile?.height ?? 0) * 0.4);
  expect(layoutCorner(area, 'bottom-right').width).toBeGreaterThan(width);
});

it('has pages of 25 at most, and of fewer where faces would be too small', () => {
  expect(capacityOf({ width: 2500, height: 1400 }, GAP).grid).toBe(25);
  expect(capacityOf({ width: 374, height: 690 }, GAP).grid).toBe(12);
  expect(capacityOf({ width: 10, height: 10 }, GAP)).toEqual({ grid: 1, beside: 1 });
});

it('places nothing before the size is known', () => {
  expect(layoutStage({ width: 0, height: 0 }, true, 3, GAP)).toEqual({ focus: null, tiles: [] });
});

it('moves the self view by arrow keys', () => {
  expect(cornerTowards('bottom-right', 'ArrowUp')).toBe('top-right');
  expect(cornerTowards('top-right', 'ArrowLeft')).toBe('top-left');
  expect(cornerTowards('top-left', 'ArrowLeft')).toBe('top-left');
});
