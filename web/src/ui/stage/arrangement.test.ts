import { describe, expect, it } from 'vitest';
import { arrange, inOrderOf, pageOf, withSpeakerInFront } from './arrangement';
import type { View } from './arrangement';
import type { TileModel } from './tiles';

const usual: View = { layout: 'auto', selfView: 'auto', pinned: null, speaker: null };

describe('the large tile', () => {
  it('is the only other participant', () => {
    expect(seen(['ada', 'me'])).toEqual({ focus: 'ada', tiles: [], corner: 'me' });
    expect(seen(['me'])).toEqual({ focus: null, tiles: ['me'], corner: null });
    expect(seen(['ada', 'bob', 'me'])).toEqual({ focus: null, tiles: ['ada', 'bob', 'me'], corner: null });
  });

  it('is the newest screen of somebody else', () => {
    const all = ['ada/screen', 'bob/screen', 'ada', 'bob', 'me/screen', 'me'];
    expect(seen(all).focus).toBe('bob/screen');
    expect(seen(['ada', 'bob', 'me/screen', 'me']).focus).toBeNull();
    expect(seen(all, { layout: 'grid' }).focus).toBeNull();
  });

  it('is who speaks where a layout wants one', () => {
    for (const layout of ['speaker', 'sidebar'] as const) {
      expect(seen(['ada', 'bob', 'me'], { layout, speaker: 'bob' }).focus).toBe('bob');
      expect(seen(['ada', 'bob', 'me'], { layout }).focus).toBe('ada');
      expect(seen(['me'], { layout }).focus).toBeNull();
    }
    expect(seen(['ada', 'bob', 'me'], { layout: 'speaker' })).toEqual({ focus: 'ada', tiles: [], corner: 'me' });
    expect(seen(['ada', 'bob', 'me'], { layout: 'sidebar' }).tiles).toEqual(['bob', 'me']);
  });

  it('is the pinned one before all others, in every layout, and as long as it is there', () => {
    for (const layout of ['auto', 'grid', 'speaker', 'sidebar'] as const) {
      expect(seen(['ada/screen', 'ada', 'bob', 'me'], { layout, pinned: 'bob', speaker: 'ada' }).focus).toBe('bob');
    }
    expect(seen(['ada', 'bob', 'me'], { pinned: 'gone' }).focus).toBeNull();
    expect(seen(['ada', 'me'], { pinned: 'me' })).toEqual({ focus: 'me', tiles: ['ada'], corner: null });
  });
});

describe('the self view', () => {
  it('is where the user wants it', () => {
    expect(seen(['ada', 'bob', 'me'], { selfView: 'corner' })).toEqual({ focus: null, tiles: ['ada', 'bob'], corner: 'me' });
    expect(seen(['ada', 'bob', 'me'], { selfView: 'hidden' })).toEqual({ focus: null, tiles: ['ada', 'bob'], corner: null });
    expect(seen(['ada', 'me'], { selfView: 'tile' })).toEqual({ focus: null, tiles: ['ada', 'me'], corner: null });
  });

  it('is in view while nobody else is there, even when hidden', () => {
    expect(seen(['me'], { selfView: 'hidden' }).tiles).toEqual(['me']);
    expect(seen(['me/screen', 'me'], { selfView: 'corner' }).tiles).toEqual(['me/screen', 'me']);
  });

  it('does not leave with a page', () => {
    const many = Array.from({ length: 9 }, (_, index) => `p${index}`);
    expect(seen([...many, 'me'], {}, { grid: 10, beside: 4 }).corner).toBeNull();
    expect(seen([...many, 'me'], {}, { grid: 9, beside: 4 }).corner).toBe('me');
    expect(seen([...many, 'me'], { pinned: 'p0' }, { grid: 99, beside: 4 }).corner).toBe('me');
  });
});

it('divides tiles into pages, and shows the last one when the page is gone', () => {
  const items = [1, 2, 3, 4, 5];
  expect(pageOf(items, 0, 2)).toEqual({ items: [1, 2], index: 0, count: 3 });
  expect(pageOf(items, 2, 2)).toEqual({ items: [5], index: 2, count: 3 });
  expect(pageOf(items, 9, 2)).toEqual({ items: [5], index: 2, count: 3 });
  expect(pageOf([], 3, 2)).toEqual({ items: [], index: 0, count: 1 });
});

it('keeps the order of those who stay and puts new ones last', () => {
  expect(inOrderOf(['c', 'a', 'b'], ['a', 'b', 'd', 'c'])).toEqual(['c', 'a', 'b', 'd']);
  expect(inOrderOf(['a', 'b'], ['b'])).toEqual(['b']);
});

describe('a speaker', () => {
  const order = ['a', 'b', 'c', 'd', 'e'];

  it('stays in place on the first page', () => {
    expect(withSpeakerInFront(order, ['b'], 3)).toEqual(order);
    expect(withSpeakerInFront(order, [], 3)).toEqual(order);
  });

  it('comes from further back for the one that has been silent longest', () => {
    expect(withSpeakerInFront(order, ['e'], 3)).toEqual(['a', 'b', 'e', 'd', 'c']);
    expect(withSpeakerInFront(order, ['e', 'c', 'a'], 3)).toEqual(['a', 'e', 'c', 'd', 'b']);
    expect(withSpeakerInFront(order, ['e', 'c', 'a', 'b'], 3)).toEqual(['a', 'e', 'c', 'd', 'b']);
  });

  it('who is gone changes nothing', () => {
    expect(withSpeakerInFront(order, ['x'], 3)).toEqual(order);
  });
});

function seen(keys: string[], view: Partial<View> = {}, capacity = { grid: 25, beside: 5 }) {
  const { focus, tiles, corner } = arrange(keys.map(tile), { ...usual, ...view }, capacity);
  return { focus: focus?.key ?? null, tiles: tiles.map(({ key }) => key), corner: corner?.key ?? null };
}

/** `ada/screen` is the screen of ada. */
function tile(key: string): TileModel {
  const [peerId = '', screen] = key.split('/');
  return {
    key,
    kind: screen ? 'screen' : 'camera',
    peerId,
    name: peerId,
    isSelf: peerId === 'me',
    isBroadcaster: false,
    video: null,
    streams: { video: null, audio: null },
    layers: null,
    muted: false,
    speaking: false,
  };
}
