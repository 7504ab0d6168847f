/** Finds the links in what people write. */

export type TextPart = { text: string; href?: string };

/** From a scheme, or from `www.`, to the next space or sign that no link has. */
const LINK = /(?<![\p{L}\p{N}@/.])(?:https?:\/\/|www\.)[^\s<>"'`{}|\\^]+/giu;

/** Longer ones are no links: their end would take too long to find. */
const MAX_LENGTH = 2000;

/** What ends a sentence rather than a link. */
const TRAILING = /[.,;:!?…]+$/u;

const BRACKETS: Record<string, string> = { ')': '(', ']': '[' };

/** A text in parts, in order: together they are the text. Links go to http and https only. */
export function linkify(text: string): TextPart[] {
  const parts: TextPart[] = [];
  let end = 0;
  for (const match of text.matchAll(LINK)) {
    if (match[0].length > MAX_LENGTH) continue;
    const link = trimmed(match[0]);
    const href = hrefOf(link);
    if (!href) continue;
    if (match.index > end) parts.push({ text: text.slice(end, match.index) });
    parts.push({ text: link, href });
    end = match.index + link.length;
  }
  if (end < text.length) parts.push({ text: text.slice(end) });
  return parts;
}

/** Without the punctuation of the sentence around it, and without a bracket that was opened before it. */
function trimmed(link: string): string {
  const shorter = link.replace(TRAILING, '');
  const opening = BRACKETS[shorter.at(-1) ?? ''];
  const closes = opening && count(shorter, opening) < count(shorter, shorter.at(-1) ?? '');
  if (closes) return trimmed(shorter.slice(0, -1));
  return shorter;
}

function count(text: string, sign: string): number {
  return text.split(sign).length - 1;
}

function hrefOf(link: string): string | null {
  const url = parse(/^www\./i.test(link) ? `https://${link}` : link);
  // A name before the host is there to deceive.
  if (!url || url.username || url.password) return null;
  const { hostname } = url;
  return hostname.includes('.') || hostname === 'localhost' || hostname.startsWith('[') ? url.href : null;
}

function parse(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}
