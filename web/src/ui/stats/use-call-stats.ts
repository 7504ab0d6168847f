import { useEffect, useState } from 'preact/hooks';
import type { RoomClient } from '../../room/client';
import { StatsMonitor } from '../../stats/monitor';
import type { CallStats } from '../../stats/monitor';

/** Statistics of the call while `wanted` is true. */
export function useCallStats(client: RoomClient, wanted: boolean): CallStats | null {
  const [stats, setStats] = useState<CallStats | null>(null);
  useEffect(() => {
    if (!wanted) return setStats(null);
    const monitor = new StatsMonitor(client);
    const stopListening = monitor.state.subscribe(setStats);
    return () => {
      stopListening();
      monitor.stop();
    };
  }, [client, wanted]);
  return wanted ? stats : null;
}
