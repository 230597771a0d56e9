/** All of what would happen, as fields that may be changed. */
import { useId } from 'preact/hooks';
import { hiddenCharacters } from '../../hidden-characters.js';
import type { Draft, Field, Reading } from './draft.js';

export interface Editing {
  readonly draft: Draft;
  readonly reading: Reading;
  readonly isFixed: boolean;
  readonly onEdit: (key: string, written: string) => void;
}

export function PayloadFields({ fields, ...editing }: Editing & { readonly fields: readonly Field[] }) {
  return (
    <div class="fields">
      {fields.map((field) => (
        <PayloadField key={field.key} field={field} {...editing} />
      ))}
    </div>
  );
}

function PayloadField({ field, draft, reading, isFixed, onEdit }: Editing & { readonly field: Field }) {
  const id = useId();
  const written = draft[field.key] ?? field.shown;
  const problem = reading.problems[field.key];
  const cannotChange = isFixed || field.isFixed;
  const hidden = hiddenCharacters(written);
  const hints = [problem, hidden.length > 0 && 'hidden'].some(Boolean) ? `${id}-hints` : undefined;
  return (
    <div class={`field as-${field.kind}`}>
      <label for={id}>
        {field.label}
        {written === field.shown ? null : <span class="changed"> (edited)</span>}
      </label>
      <FieldInput
        id={id}
        field={field}
        written={written}
        isFixed={cannotChange}
        described={hints}
        isWrong={problem !== undefined}
        onEdit={(text) => onEdit(field.key, text)}
      />
      {hints === undefined ? null : (
        <p class="problem" id={hints}>
          {problem}
          {hidden.length > 0
            ? ` Holds characters that cannot be seen, or that change the order of others: ${hidden.join(', ')}.`
            : null}
        </p>
      )}
    </div>
  );
}

interface FieldInputProps {
  readonly id: string;
  readonly field: Field;
  readonly written: string;
  readonly isFixed: boolean;
  readonly described: string | undefined;
  readonly isWrong: boolean;
  readonly onEdit: (written: string) => void;
}

const mostRows = 24;

function FieldInput({ id, field, written, isFixed, described, isWrong, onEdit }: FieldInputProps) {
  const common = {
    id,
    'data-editable': isFixed ? undefined : true,
    'aria-describedby': described,
    'aria-invalid': isWrong,
    spellcheck: false,
    autocomplete: 'off',
    onInput: (event: Event) => onEdit((event.target as HTMLInputElement | HTMLTextAreaElement).value),
  } as const;
  if (field.kind === 'flag') {
    return (
      <input
        {...common}
        type="checkbox"
        checked={written === 'true'}
        disabled={isFixed}
        onInput={(event) => onEdit(String(event.currentTarget.checked))}
      />
    );
  }
  if (field.kind === 'text' || field.kind === 'json') {
    const rows = Math.min(mostRows, Math.max(field.kind === 'text' ? 3 : 1, written.split('\n').length));
    return <textarea {...common} value={written} readOnly={isFixed} rows={rows} />;
  }
  const mode = field.kind === 'number' ? 'decimal' : 'text';
  return <input {...common} type="text" inputMode={mode} value={written} readOnly={isFixed} />;
}
