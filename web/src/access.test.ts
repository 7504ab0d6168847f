import { beforeEach, expect, it, vi } from 'vitest';
import { claimsOf, takeToken } from './access';

/** A token with these claims and no signature. */
function tokenOf(claims: object): string {
  const bytes = new TextEncoder().encode(JSON.stringify(claims));
  const payload = btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  return `h.${payload}.s`;
}

class MemoryStorage {
  readonly #items = new Map<string, string>();
  getItem = (key: string) => this.#items.get(key) ?? null;
  setItem = (key: string, value: string) => void this.#items.set(key, value);
}

let storage: MemoryStorage;
beforeEach(() => {
  storage = new MemoryStorage();
});

function open(href: string) {
  const replaceState = vi.fn<(state: unknown, title: string, url: string) => void>();
  const page = { location: { href }, history: { state: null, replaceState }, sessionStorage: storage };
  return { token: takeToken(page as unknown as Window), shown: replaceState.mock.calls[0]?.[2] };
}

it('takes the token of the fragment or the query, and out of the address', () => {
  const token = tokenOf({ sub: 'alice' });
  expect(open(`https://host/?roomId=lunch#access_token=${token}`)).toEqual({
    token,
    shown: 'https://host/?roomId=lunch',
  });
  expect(open(`https://host/?access_token=${token}&roomId=lunch`)).toEqual({
    token,
    shown: 'https://host/?roomId=lunch',
  });
});

it('puts the room of the token into an address without one', () => {
  const token = tokenOf({ video: { room: 'lunch' } });
  expect(open(`https://host/#access_token=${token}`).shown).toBe('https://host/?roomId=lunch');
});

it('keeps the token for a reload in the same room alone', () => {
  const token = tokenOf({ sub: 'alice', video: { room: 'lunch' } });
  open(`https://host/#access_token=${token}`);
  expect(open('https://host/?roomId=lunch')).toEqual({ token, shown: undefined });
  expect(open('https://host/?roomId=dinner').token).toBeNull();
  expect(open('https://host/').token).toBeNull();
});

it('reads who a token is for', () => {
  expect(claimsOf(tokenOf({ sub: 'zoë', name: 'Zoë', video: { room: 'lunch' } }))).toEqual({
    identity: 'zoë',
    displayName: 'Zoë',
    roomId: 'lunch',
  });
  for (const token of ['', 'a.b.c', 'no token', tokenOf({ sub: 7 })]) {
    expect(claimsOf(token)).toEqual({ identity: null, displayName: null, roomId: null });
  }
});
