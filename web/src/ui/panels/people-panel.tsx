import { useState } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import type { Quality } from '../../room/quality';
import { Avatar } from '../avatar';
import { CameraOffIcon, HandIcon, MicIcon, MicOffIcon, ScreenIcon } from '../icons';
import { Panel } from './panel';
import { found } from './people';
import type { Person } from './people';

/** From so many people on, a list is worth a search. */
const SEARCHED_FROM = 6;

interface PeoplePanelProps {
  people: Person[];
  onClose: () => void;
}

/** Who is here, with the state of each. */
export default function PeoplePanel({ people, onClose }: PeoplePanelProps) {
  const [words, setWords] = useState('');
  const shown = found(people, words);
  return (
    <Panel title="People" class="people-panel" onClose={onClose}>
      {people.length >= SEARCHED_FROM && (
        <input
          type="search"
          aria-label="Search for a name"
          placeholder="Search"
          value={words}
          onInput={(event) => setWords(event.currentTarget.value)}
        />
      )}
      <ul aria-label={`${shown.length} of ${people.length} people`}>
        {shown.map((person) => (
          <Row key={person.peerId} person={person} />
        ))}
      </ul>
      {shown.length === 0 && <p class="hint">Nobody here has a name like that.</p>}
    </Panel>
  );
}

function Row({ person }: { person: Person }) {
  const { peerId, name, isSelf, muted, cameraOff, presenting, speaking, hand, quality } = person;
  return (
    <li class={speaking && !muted ? 'speaking' : ''}>
      <Avatar id={peerId} name={name} />
      <span class="name">
        {name}
        {isSelf && <span class="quiet"> (you)</span>}
      </span>
      {hand !== null && (
        <Mark text={`hand raised, number ${hand}`} class="hand">
          <HandIcon />
          {hand}
        </Mark>
      )}
      {presenting && (
        <Mark text="shares a screen" class="accented">
          <ScreenIcon />
        </Mark>
      )}
      {cameraOff && (
        <Mark text="camera off">
          <CameraOffIcon />
        </Mark>
      )}
      <Mark text={muted ? 'muted' : 'microphone on'} class={muted ? 'muted' : ''}>
        {muted ? <MicOffIcon /> : <MicIcon />}
      </Mark>
      <Bars quality={quality} isSelf={isSelf} name={name} />
    </li>
  );
}

interface MarkProps {
  text: string;
  class?: string;
  children: ComponentChildren;
}

function Mark({ text, class: kind = '', children }: MarkProps) {
  return (
    <span class={`mark ${kind}`} title={text} role="img" aria-label={text}>
      {children}
    </span>
  );
}

function Bars({ quality, isSelf, name }: { quality: Quality | null; isSelf: boolean; name: string }) {
  const text = qualityText(quality, isSelf, name);
  return (
    <span class={`bars bars-${quality?.bars ?? 0}`} title={text} role="img" aria-label={text}>
      <i />
      <i />
      <i />
    </span>
  );
}

function qualityText(quality: Quality | null, isSelf: boolean, name: string): string {
  if (!quality) return isSelf ? 'Nothing is sent that would tell of the connection' : `Nothing is received of ${name}`;
  switch (quality.weak) {
    case null:
      return 'Good connection';
    case 'theirs':
      return `The way from ${name} to the server loses packets`;
    case 'yours':
      return isSelf ? 'Your way to the server loses packets' : 'The way from the server to you loses packets';
  }
}
