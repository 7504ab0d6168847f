/**
 * The access token that brings a user here, in the page's URL: `#access_token=…`, which browsers keep to themselves, or
 * `?access_token=…`. It is taken out of the address bar, so that a copied address does not let others in as this user, and
 * kept for a reload of this tab alone.
 */

/** What a page needs to know of its token. Only the server checks it. */
export interface TokenClaims {
  /** The peer id that the token is for. */
  identity: string | null;
  displayName: string | null;
  roomId: string | null;
}

const PARAMETER = 'access_token';
const STORED = 'tureen.access';

/** Takes the token out of the page's URL, or finds that of the same room from before a reload. */
export function takeToken(page: Pick<Window, 'location' | 'history' | 'sessionStorage'>): string | null {
  const url = new URL(page.location.href);
  const fragment = new URLSearchParams(url.hash.slice(1));
  const token = fragment.get(PARAMETER) ?? url.searchParams.get(PARAMETER);
  const roomId = url.searchParams.get('roomId')?.trim() ?? '';
  if (!token) return recall(page.sessionStorage, roomId);
  fragment.delete(PARAMETER);
  url.hash = fragment.toString();
  url.searchParams.delete(PARAMETER);
  const of = claimsOf(token);
  if (!roomId && of.roomId) url.searchParams.set('roomId', of.roomId);
  page.history.replaceState(page.history.state, '', url.href);
  remember(page.sessionStorage, { roomId: roomId || (of.roomId ?? ''), token });
  return token;
}

/** Reads a token without checking it; nothing is known of one that can't be read. */
export function claimsOf(token: string): TokenClaims {
  try {
    const payload = (token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    const video = (claims['video'] ?? {}) as Record<string, unknown>;
    return {
      identity: textOf(claims['sub']),
      displayName: textOf(claims['name']),
      roomId: textOf(video['room']),
    };
  } catch {
    return { identity: null, displayName: null, roomId: null };
  }
}

/**
 * Why the server lets nobody in with this token, or without one; null where it does not say so. Browsers do not tell why
 * a WebSocket could not be opened.
 */
export async function whyRefused(
  origin: string,
  roomId: string,
  token: string | null,
): Promise<string | null> {
  try {
    const headers: HeadersInit = token ? { Authorization: `Bearer ${token}` } : {};
    const response = await fetch(new URL(`/rooms/${encodeURIComponent(roomId)}`, origin), { headers });
    return response.status === 401 || response.status === 403 ? (await response.text()).trim() : null;
  } catch {
    return null;
  }
}

function recall(storage: Storage, roomId: string): string | null {
  try {
    const stored = JSON.parse(storage.getItem(STORED) ?? 'null') as { roomId: string; token: string } | null;
    return stored && stored.roomId === roomId ? stored.token : null;
  } catch {
    return null;
  }
}

function remember(storage: Storage, kept: { roomId: string; token: string }): void {
  try {
    storage.setItem(STORED, JSON.stringify(kept));
  } catch {
    // Without storage a reload asks for the token again.
  }
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}
