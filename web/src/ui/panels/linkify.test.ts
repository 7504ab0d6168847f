import { expect, it } from 'vitest';
import { linkify } from './linkify';

const links = (text: string) => linkify(text).flatMap(({ href }) => href ?? []);

it('finds links between other words', () => {
  expect(linkify('see https://example.com/a?b=1#c and www.example.org')).toEqual([
    { text: 'see ' },
    { text: 'https://example.com/a?b=1#c', href: 'https://example.com/a?b=1#c' },
    { text: ' and ' },
    { text: 'www.example.org', href: 'https://www.example.org/' },
  ]);
});

it('keeps the text as it is', () => {
  for (const text of ['', 'no link', 'a\nb https://example.com.\n', '(http://example.com)', 'http://', 'https://é.example/ü']) {
    expect(linkify(text).map((part) => part.text).join('')).toBe(text);
  }
});

it('leaves the punctuation of the sentence out', () => {
  expect(links('https://example.com, (https://example.com/x). https://example.com/a_(b)! [https://example.com/y]')).toEqual([
    'https://example.com/', 'https://example.com/x', 'https://example.com/a_(b)', 'https://example.com/y',
  ]);
});

it('makes nothing else a link', () => {
  const others = [
    'javascript:alert(1)', 'data:text/html,x', 'file:///etc/passwd', 'mailto:a@b.example', 'xhttps://example.com',
    'https://user:pass@example.com', 'https://accounts.example@evil.example/', 'http://', 'https://word', 'me@www.example.com',
  ];
  for (const text of others) expect(links(text), text).toEqual([]);
});

it('takes nothing endless for a link, whose end would be looked for too long', () => {
  expect(links(`https://example.com/${'x'.repeat(1900)}`)).toHaveLength(1);
  expect(links(`https://example.com/${')'.repeat(9000)}`)).toEqual([]);
});
