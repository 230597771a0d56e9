/** The form that begins a run, or a track of tickets. */
import { useEffect, useState } from 'preact/hooks';
import type { RunWire } from '../../clutch/wire.js';
import { ApiError } from '../api/client.js';
import { Dialog } from '../parts/dialog.js';
import { ChoiceField, TextField } from '../parts/form-field.js';
import { tell, useServices } from '../state/services.js';
import { emptyRun, type RunDraft, runInput } from './run-input.js';
import { TicketFields } from './ticket-fields.js';

interface RunOptions {
  readonly providers: readonly { readonly name: string; readonly default_model?: string | null }[];
  readonly default_provider: string;
  readonly base_dirs: readonly string[];
  readonly gate: 'all' | 'step' | 'none';
}

const gates = {
  all: 'asks before every change',
  step: 'asks once a round',
  none: 'asks for nothing',
} as const;

export function StartRun({ onClose }: { readonly onClose: () => void }) {
  const services = useServices();
  const [options, setOptions] = useState<RunOptions>();
  const [draft, setDraft] = useState<RunDraft>(emptyRun);
  const [problem, setProblem] = useState<string>();
  const [isBusy, setBusy] = useState(false);
  const change = (changed: Partial<RunDraft>) => setDraft((before) => ({ ...before, ...changed }));

  useEffect(() => {
    services.api
      .json<RunOptions>('/v1/run-options')
      .then(setOptions)
      .catch((error: unknown) => setProblem((error as Error).message));
  }, [services]);

  const start = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    try {
      const run = await services.api.json<RunWire>('/v1/runs', { method: 'POST', body: runInput(draft) });
      services.openRun.set(run.id);
      tell(services, 'The run has begun.');
      onClose();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem(error.message);
    } finally {
      setBusy(false);
    }
  };

  return (
    <Dialog title="New run" onClose={onClose}>
      <form class="form" onSubmit={(event) => void start(event)}>
        <TextField
          label="Task"
          rows={5}
          isRequired={draft.tickets.length === 0}
          value={draft.prompt}
          onChange={(prompt) => change({ prompt })}
        />
        <Where draft={draft} options={options} change={change} />
        <Background draft={draft} change={change} />
        <TicketFields tickets={draft.tickets} onChange={(tickets) => change({ tickets })} />
        {problem === undefined ? null : (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <div class="bar">
          <button type="submit" class="primary" disabled={isBusy}>
            Start
          </button>
        </div>
      </form>
    </Dialog>
  );
}

interface PartProps {
  readonly draft: RunDraft;
  readonly change: (changed: Partial<RunDraft>) => void;
}

function Where({ draft, options, change }: PartProps & { readonly options: RunOptions | undefined }) {
  const provider = draft.provider || options?.default_provider;
  const model = options?.providers.find(({ name }) => name === provider)?.default_model;
  return (
    <>
      <TextField
        label="Folder"
        value={draft.base_dir}
        placeholder={options?.base_dirs[0]}
        suggestions={options?.base_dirs ?? []}
        onChange={(base_dir) => change({ base_dir })}
      />
      <div class="columns">
        <ChoiceField
          label="Provider"
          value={draft.provider}
          onChange={(name) => change({ provider: name, model: '' })}
        >
          <option value="">default{options ? `: ${options.default_provider}` : ''}</option>
          {options?.providers.map(({ name }) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </ChoiceField>
        <TextField
          label="Model"
          value={draft.model}
          placeholder={model ?? undefined}
          onChange={(name) => change({ model: name })}
        />
        <ChoiceField label="Gate" value={draft.gate} onChange={(gate) => change({ gate })}>
          <option value="">default{options ? `: ${gates[options.gate]}` : ''}</option>
          {Object.entries(gates).map(([gate, meaning]) => (
            <option key={gate} value={gate}>
              {meaning}
            </option>
          ))}
        </ChoiceField>
      </div>
    </>
  );
}

function Background({ draft, change }: PartProps) {
  return (
    <details>
      <summary>Background and limits</summary>
      <TextField
        label="Files"
        rows={3}
        hint="One a line; the model is told when they change."
        value={draft.file_items}
        onChange={(file_items) => change({ file_items })}
      />
      <TextField
        label="Documents, as Markdown"
        rows={3}
        value={draft.stable_md}
        onChange={(stable_md) => change({ stable_md })}
      />
      <TextField
        label="Discussion that went before"
        rows={3}
        value={draft.disc_text}
        onChange={(disc_text) => change({ disc_text })}
      />
      <div class="columns">
        <TextField
          label="First tool to call"
          value={draft.first_tool}
          placeholder="as the model likes"
          onChange={(first_tool) => change({ first_tool })}
        />
        <TextField
          label="Most tokens of an answer"
          mode="numeric"
          value={draft.max_tokens}
          placeholder="8192"
          onChange={(max_tokens) => change({ max_tokens })}
        />
        <TextField
          label="Temperature"
          mode="decimal"
          value={draft.temperature}
          placeholder="0"
          onChange={(temperature) => change({ temperature })}
        />
      </div>
    </details>
  );
}
