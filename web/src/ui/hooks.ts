import { useEffect, useLayoutEffect, useReducer, useRef, useState } from 'preact/hooks';
import type { RefObject } from 'preact';
import type { ChatMessage } from '../room/state';
import type { ReadableStore } from '../room/store';

/** The store's value; renders again when it changes. */
export function useStore<T>(store: ReadableStore<T>): T {
  const [, rerender] = useReducer((count: number) => count + 1, 0);
  const rendered = store.get();
  useLayoutEffect(() => {
    // It may have changed between the rendering and now.
    if (store.get() !== rendered) rerender(undefined);
    return store.subscribe(() => rerender(undefined));
  }, [store]);
  return rendered;
}

/** The size of an element's content box, in CSS pixels. */
export function useElementSize<E extends Element>(): [
  RefObject<E | null>,
  { width: number; height: number },
] {
  const ref = useRef<E>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  useLayoutEffect(() => {
    if (!ref.current) return;
    const observer = new ResizeObserver(([entry]) => {
      if (!entry) return;
      const { width, height } = entry.contentRect;
      setSize({ width, height });
    });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return [ref, size];
}

/** Whether an element can be seen: on the screen, on a page that is not in the background. */
export function useVisible(ref: RefObject<Element | null>): boolean {
  const [onScreen, setOnScreen] = useState(true);
  const [inFront, setInFront] = useState(!document.hidden);
  useEffect(() => {
    if (!ref.current) return;
    const observer = new IntersectionObserver((entries) =>
      setOnScreen(entries.at(-1)?.isIntersecting ?? true),
    );
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    const onChange = () => setInFront(!document.hidden);
    document.addEventListener('visibilitychange', onChange);
    return () => document.removeEventListener('visibilitychange', onChange);
  }, []);
  return onScreen && inFront;
}

/** How many messages of others came while they were not looked at. */
export function useUnread(messages: readonly ChatMessage[], looking: boolean): number {
  const newest = messages.at(-1)?.id ?? 0;
  const [seen, setSeen] = useState(newest);
  useEffect(() => {
    if (looking) setSeen(newest);
  }, [looking, newest]);
  // Those of this side were written while looking.
  return looking ? 0 : messages.filter(({ id }) => id > seen).length;
}

/** True for a while after `flash()`. */
export function useFlash(durationMs: number): [boolean, () => void] {
  const [on, setOn] = useState(false);
  useEffect(() => {
    if (!on) return;
    const timer = setTimeout(() => setOn(false), durationMs);
    return () => clearTimeout(timer);
  }, [on, durationMs]);
  return [on, () => setOn(true)];
}

/** Peer ids of those who spoke, the last one first; without `selfId`. */
export function useSpoke(speaking: string | undefined, selfId: string): readonly string[] {
  const [spoke, setSpoke] = useState<readonly string[]>([]);
  useEffect(() => {
    if (speaking === undefined || speaking === selfId) return;
    setSpoke((before) =>
      before[0] === speaking ? before : [speaking, ...before.filter((id) => id !== speaking)].slice(0, MAX_SPOKE),
    );
  }, [speaking, selfId]);
  return spoke;
}

/** More than there are tiles on a page. */
const MAX_SPOKE = 50;
