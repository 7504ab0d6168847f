import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Recipient } from '../../room/chat';
import type { ChatMessage, ChatState } from '../../room/state';
import { SendIcon } from '../icons';
import { linkify } from './linkify';
import { Panel } from './panel';

interface ChatPanelProps {
  chat: ChatState;
  selfId: string;
  /** False where it could not be said. */
  onSay: (to: Recipient, text: string) => boolean;
  onClose: () => void;
}

/** What begins a text for the room's bot. */
const TO_BOT = /^@bot\s+/i;

/** Messages of one sender within this time come under one name. */
const GROUP_MS = 2 * 60_000;

/** The room's conversation in writing: beside the stage, or over it on a phone. */
export function ChatPanel({ chat, selfId, onSay, onClose }: ChatPanelProps) {
  const list = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState('');

  useEffect(() => input.current?.focus(), []);
  // The newest stays in view, unless one reads further up.
  const followed = useRef(true);
  useLayoutEffect(() => {
    if (followed.current) list.current?.scrollTo(0, list.current.scrollHeight);
  }, [chat.messages]);
  const onScroll = ({ currentTarget: log }: { currentTarget: HTMLElement }) => {
    followed.current = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  };

  const submit = (event: Event) => {
    event.preventDefault();
    const said = text.trim();
    if (!said) return;
    followed.current = true;
    const sent = TO_BOT.test(said) ? onSay('bot', said.replace(TO_BOT, '')) : onSay('chat', said);
    if (sent) setText('');
  };
  return (
    <Panel title="Chat" class="chat" onClose={onClose}>
      <div class="chat-log" ref={list} onScroll={onScroll} role="log" tabIndex={0}>
        {chat.messages.length === 0 && (
          <p class="hint">
            Everyone in the room sees what you write. Begin with <b>@bot</b> to talk to the room’s bot.
          </p>
        )}
        {chat.messages.map((message, index) => (
          <Message
            key={message.id}
            message={message}
            isSelf={message.peerId === selfId}
            continued={continues(chat.messages[index - 1], message)}
          />
        ))}
      </div>
      <form onSubmit={submit}>
        <input
          ref={input}
          aria-label="Message"
          placeholder={chat.open ? 'Message' : 'Connecting…'}
          autocomplete="off"
          enterkeyhint="send"
          maxLength={5000}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <button class="round" aria-label="Send" disabled={!chat.open || !text.trim()}>
          <SendIcon />
        </button>
      </form>
    </Panel>
  );
}

interface MessageProps {
  message: ChatMessage;
  isSelf: boolean;
  /** Under the name of the one before. */
  continued: boolean;
}

function Message({ message: { peerId, name, text, at }, isSelf, continued }: MessageProps) {
  const sender = peerId === null ? 'Bot' : isSelf ? 'You' : (name ?? 'Someone');
  return (
    <div class={`message ${isSelf ? 'own' : ''} ${continued ? 'continued' : ''}`}>
      {!continued && (
        <p class="sender">
          {sender} <time dateTime={new Date(at).toISOString()}>{timeText(at)}</time>
        </p>
      )}
      <p class="text">
        {linkify(text).map((part) =>
          part.href ? (
            <a href={part.href} target="_blank" rel="noopener noreferrer">
              {part.text}
            </a>
          ) : (
            part.text
          ),
        )}
      </p>
    </div>
  );
}

function continues(before: ChatMessage | undefined, message: ChatMessage): boolean {
  return before?.peerId === message.peerId && message.at - before.at < GROUP_MS;
}

function timeText(at: number): string {
  return new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}
