import { NextIcon, PreviousIcon } from '../icons';

interface PageControlProps {
  /** From 0. */
  index: number;
  count: number;
  onPage: (index: number) => void;
}

/** Turns the pages of a call with more participants than fit. */
export function PageControl({ index, count, onPage }: PageControlProps) {
  return (
    <nav class="pages" aria-label="Pages of participants">
      <button
        class="button small"
        aria-label="Previous page"
        disabled={index === 0}
        onClick={() => onPage(index - 1)}
      >
        <PreviousIcon />
      </button>
      <span role="status" aria-label={`Page ${index + 1} of ${count}`}>
        {index + 1} / {count}
      </span>
      <button
        class="button small"
        aria-label="Next page"
        disabled={index === count - 1}
        onClick={() => onPage(index + 1)}
      >
        <NextIcon />
      </button>
    </nav>
  );
}
