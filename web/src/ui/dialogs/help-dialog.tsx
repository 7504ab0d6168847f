import { Dialog } from './dialog';
import { SHORTCUTS, keysOf } from '../controls/shortcuts';

/** The keyboard shortcuts. */
export default function HelpDialog({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keyboard shortcuts" onClose={onClose}>
      <dl class="shortcuts">
        {Object.values(SHORTCUTS).map((shortcut) => (
          <div key={shortcut.what}>
            <dt>{shortcut.what}</dt>
            <dd>
              <kbd>{keysOf(shortcut)}</kbd>
            </dd>
          </div>
        ))}
        <div>
          <dt>Make a tile large</dt>
          <dd>
            <kbd>Tab</kbd> to its pin, <kbd>Enter</kbd>
          </dd>
        </div>
        <div>
          <dt>Move your own picture</dt>
          <dd>
            <kbd>Tab</kbd> to its arrows, <kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd> <kbd>↓</kbd>
          </dd>
        </div>
      </dl>
    </Dialog>
  );
}
