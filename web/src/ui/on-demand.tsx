import { useEffect, useState } from 'preact/hooks';
import type { ComponentType } from 'preact';

/** A component that is loaded when it is first shown. */
export function onDemand<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  let loaded: ComponentType<P> | undefined;
  return function OnDemand(props: P) {
    const [, setReady] = useState(loaded !== undefined);
    useEffect(() => {
      if (loaded) return;
      load().then(
        (component) => {
          loaded = component;
          setReady(true);
        },
        // The next time it is shown, it is asked for again.
        (error: unknown) => console.warn('a part of the app could not be loaded', error),
      );
    }, []);
    const Loaded = loaded;
    return Loaded ? <Loaded {...props} /> : null;
  };
}
