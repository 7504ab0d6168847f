import { expect, it } from 'vitest';
import { SHORTCUTS, isPressed, keysOf } from './shortcuts';

/** `modifiers`: c for Ctrl, m for Cmd, a for Alt, s for Shift, g for AltGr. */
const event = (key: string, modifiers: string, code = `Key${key.toUpperCase()}`) => ({
  key,
  code,
  ctrlKey: modifiers.includes('c'),
  metaKey: modifiers.includes('m'),
  altKey: modifiers.includes('a'),
  shiftKey: modifiers.includes('s'),
  getModifierState: (name: string) => name === 'AltGraph' && modifiers.includes('g'),
});

it('are pressed with Ctrl or Cmd, and with Alt where they say so', () => {
  expect(['c', 'm', '', 'cs', 'ca', 'cm'].map((keys) => isPressed(SHORTCUTS.mic, event('d', keys)))).toEqual([
    true, true, false, false, false, false,
  ]);
  expect(['ca', 'ma', 'c', 'a'].map((keys) => isPressed(SHORTCUTS.share, event('s', keys)))).toEqual([
    true, true, false, false,
  ]);
});

it('are found on other keyboards', () => {
  expect(isPressed(SHORTCUTS.share, event('ß', 'ma', 'KeyS'))).toBe(true);
  expect(isPressed(SHORTCUTS.help, event('/', 'cs', 'Digit7'))).toBe(true);
  expect(isPressed(SHORTCUTS.help, event('-', 'c', 'Slash'))).toBe(false);
});

it('do not take what is typed with AltGr', () => {
  expect(isPressed(SHORTCUTS.chat, event('ć', 'cag', 'KeyC'))).toBe(false);
});

it('have keys of their own, and names for them', () => {
  const keys = Object.values(SHORTCUTS).map(keysOf);
  expect(new Set(keys).size).toBe(keys.length);
  expect(keysOf(SHORTCUTS.share)).toBe('Ctrl+Alt+S');
});
