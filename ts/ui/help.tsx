/** The keys. */
import { keyHelp } from './keys.js';
import { Dialog } from './parts/dialog.js';

export function Help({ onClose }: { readonly onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose}>
      <dl class="keys">
        {keyHelp.map(([keys, meaning]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <p class="hint">
        Keys do nothing while you write in a field. What runs is exactly what was on display.
      </p>
    </Dialog>
  );
}
