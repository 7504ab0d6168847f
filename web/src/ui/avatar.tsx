import { PersonIcon } from './icons';

/** The initials of a name, on a colour that stays with the id. */
export function Avatar({ id, name }: { id: string; name: string }) {
  return (
    <div class="avatar" style={{ '--hue': hueOf(id) }} aria-hidden="true">
      {initialsOf(name) || <PersonIcon />}
    </div>
  );
}

function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/);
  const letters = [words[0], words.length > 1 ? words.at(-1) : ''].map(
    (word) => Array.from(word ?? '')[0] ?? '',
  );
  return letters.join('').toUpperCase();
}

function hueOf(id: string): number {
  let hash = 0;
  for (const char of id) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % 360;
  return hash;
}
