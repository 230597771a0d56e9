/** A labelled field of a form. */
import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';

interface Common {
  readonly label: string;
  readonly value: string;
  readonly hint?: string;
  readonly onChange: (value: string) => void;
}

export interface TextFieldProps extends Common {
  readonly rows?: number;
  readonly isRequired?: boolean;
  readonly mode?: 'text' | 'decimal' | 'numeric';
  readonly suggestions?: readonly string[];
  readonly placeholder?: string | undefined;
}

export function TextField(props: TextFieldProps) {
  const { label, value, hint, onChange, rows, isRequired = false, mode = 'text', suggestions } = props;
  const id = useId();
  const common = {
    id,
    value,
    required: isRequired,
    placeholder: props.placeholder,
    'aria-describedby': hint === undefined ? undefined : `${id}-hint`,
    onInput: (event: Event) => onChange((event.target as HTMLInputElement).value),
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {rows === undefined ? (
        <input
          {...common}
          type="text"
          inputMode={mode}
          list={suggestions && `${id}-list`}
          autocomplete="off"
        />
      ) : (
        <textarea {...common} rows={rows} />
      )}
      {suggestions === undefined ? null : (
        <datalist id={`${id}-list`}>
          {suggestions.map((suggestion) => (
            <option key={suggestion} value={suggestion} />
          ))}
        </datalist>
      )}
      {hint === undefined ? null : (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

export interface ChoiceFieldProps extends Common {
  readonly children: ComponentChildren;
}

export function ChoiceField({ label, value, onChange, children }: ChoiceFieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {children}
      </select>
    </div>
  );
}
