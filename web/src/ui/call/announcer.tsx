import { useEffect, useRef, useState } from 'preact/hooks';
import type { RoomState } from '../../room/state';
import { announcementsOf } from './announcements';

interface AnnouncerProps {
  room: RoomState;
  selfId: string;
  /** Then messages are read by the chat itself. */
  chatShown: boolean;
}

/** Says to screen readers what happens out of sight. */
export function Announcer({ room, selfId, chatShown }: AnnouncerProps) {
  const before = useRef(room);
  const [text, setText] = useState('');
  useEffect(() => {
    const news = announcementsOf(before.current, room, { selfId, chatShown });
    before.current = room;
    if (news.length > 0) setText(news.join(', '));
  }, [room]);
  return (
    <p class="visually-hidden" role="status">
      {text}
    </p>
  );
}
