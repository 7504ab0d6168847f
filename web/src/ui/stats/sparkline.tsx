interface SparklineProps {
  /** Description for screen readers. */
  label: string;
  /** Values, oldest first; null for a missing value. */
  values: readonly (number | null)[];
  /** Values of a dashed line behind, on the same scale. */
  limits?: readonly (number | null)[];
  /** Number of values in the full width. */
  capacity: number;
}

/** Small live graph without axes. The newest value is at the right edge, and 0 at the bottom. */
export function Sparkline({ label, values, limits = [], capacity }: SparklineProps) {
  // Headroom, so that the highest value's line is not cut off.
  const top = 1.08 * Math.max(1, ...[...values, ...limits].map((value) => value ?? 0));
  const points = (series: readonly (number | null)[]) =>
    series.flatMap((value, index) =>
      value === null ? [] : [`${capacity - series.length + index},${(1 - value / top).toFixed(4)}`],
    );
  const line = points(values);
  const limit = points(limits);
  const first = line[0]?.split(',')[0];
  return (
    <svg
      class="sparkline"
      viewBox={`0 0 ${capacity - 1} 1`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {limit.length > 1 && <polyline class="limit" points={limit.join(' ')} />}
      {line.length > 1 && (
        <>
          <polygon points={`${first},1 ${line.join(' ')} ${capacity - 1},1`} />
          <polyline points={line.join(' ')} />
        </>
      )}
    </svg>
  );
}
