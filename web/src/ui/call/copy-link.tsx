import { useFlash } from '../hooks';
import { CheckIcon, LinkIcon } from '../icons';

/** Copies the room's link, or shows it where the clipboard is out of reach. */
export function CopyLink({ link }: { link: string }) {
  const [copied, flash] = useFlash(2000);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(link);
      flash();
    } catch {
      prompt('The link to this room:', link);
    }
  };
  return (
    <button
      class="button small copy"
      aria-label={copied ? 'Copied' : 'Copy link to this room'}
      onClick={() => void copy()}
    >
      {copied ? <CheckIcon /> : <LinkIcon />}
      <span aria-live="polite">{copied ? 'Copied' : 'Copy link'}</span>
    </button>
  );
}
