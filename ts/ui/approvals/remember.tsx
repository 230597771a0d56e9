/** A decision for more than this call: this tool, in this folder, for this run. */
import { useId } from 'preact/hooks';
import type { ApprovalWire, RunWire } from '../../clutch/wire.js';

export interface Remembered {
  readonly isOn: boolean;
  readonly folder: string;
}

/** Only calls of a tool by themselves can be allowed once and for all. */
export function canRemember({ kind, tool }: ApprovalWire): boolean {
  return kind === 'confirm' && tool !== undefined;
}

export function folderOf({ payload }: ApprovalWire, run: RunWire | undefined): string {
  return typeof payload.base_dir === 'string' ? payload.base_dir : (run?.base_dir ?? '');
}

export interface RememberProps {
  readonly tool: string;
  readonly value: Remembered;
  readonly onChange: (value: Remembered) => void;
}

/** Others may reach out of the folder that their calls name. */
const heldToFolder = new Set(['write_file', 'edit_file', 'move_file', 'delete_file']);

export function Remember({ tool, value, onChange }: RememberProps) {
  const id = useId();
  return (
    <div class="remember">
      <label>
        <input
          type="checkbox"
          checked={value.isOn}
          onInput={(event) => onChange({ ...value, isOn: event.currentTarget.checked })}
        />
        <span>
          For the rest of this run, let <code>{tool}</code> work in a folder without asking
        </span>
      </label>
      {value.isOn ? (
        <div class="field">
          <label for={id}>Folder, with all below it</label>
          <input
            id={id}
            type="text"
            value={value.folder}
            onInput={(event) => onChange({ ...value, folder: event.currentTarget.value })}
          />
          {heldToFolder.has(tool) ? null : (
            <p class="hint">
              <code>{tool}</code> is not held to this folder: what it does there may reach beyond it.
            </p>
          )}
        </div>
      ) : null}
    </div>
  );
}
