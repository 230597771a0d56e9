/** What need not be asked again, until it is revoked. */
import type { ClutchState } from '../../clutch/events/state.js';
import type { RuleWire } from '../../clutch/wire.js';
import { ApiError } from '../api/client.js';
import { clockTime } from '../parts/format.js';
import { Table } from '../parts/table.js';
import { titleOf } from '../runs/run-order.js';
import { tell, useServices } from '../state/services.js';
import { useStore } from '../state/store.js';

export function RulesPanel({ state }: { readonly state: ClutchState }) {
  const services = useServices();
  const isReader = useStore(services.token) === undefined;
  const revoke = async ({ id, tool }: RuleWire) => {
    try {
      await services.api.json(`/v1/rules/${encodeURIComponent(id)}`, { method: 'DELETE' });
      tell(services, `${tool} asks again.`);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      tell(services, error.message, 'problem');
    }
  };
  const runName = (id: string) => {
    const run = state.runs[id];
    return run ? titleOf(run) : id;
  };
  return (
    <Table
      label="Rules"
      rows={Object.values(state.rules)}
      keyOf={({ id }) => id}
      empty="Every call asks: nothing is allowed once and for all."
      columns={[
        { title: 'Tool', cell: (rule) => <code>{rule.tool}</code> },
        { title: 'Folder', cell: (rule) => rule.folder },
        { title: 'Run', cell: (rule) => runName(rule.run_id) },
        { title: 'By', cell: (rule) => `${rule.made_by}, ${clockTime(rule.created_at)}` },
        {
          title: 'Revoke',
          cell: (rule) => (
            <button type="button" disabled={isReader} onClick={() => void revoke(rule)}>
              Revoke<span class="visually-hidden"> {rule.tool}</span>
            </button>
          ),
        },
      ]}
    />
  );
}
