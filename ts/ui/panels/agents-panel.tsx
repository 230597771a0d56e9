/** Agents and their caches. */
import { bytes, count, percent } from '../parts/format.js';
import { Table } from '../parts/table.js';
import { Asked } from './asked.js';
import type { AgentBody } from './panel-types.js';

export function AgentsPanel() {
  return (
    <Asked<{ data: readonly AgentBody[] }> path="/v1/agents">
      {({ data }) => (
        <Table
          label="Agents"
          rows={data}
          keyOf={({ agent_id }) => agent_id}
          empty="No agent has a cache."
          columns={[
            { title: 'Agent', cell: (agent) => agent.agent_id },
            { title: 'Tier', cell: (agent) => agent.tier },
            { title: 'Tokens', isNumber: true, cell: (agent) => count(agent.tokens) },
            { title: 'From cache', isNumber: true, cell: (agent) => percent(agent.hit_rate) },
            { title: 'Memory', isNumber: true, cell: (agent) => bytes(agent.pool_bytes) },
            { title: 'Disk', isNumber: true, cell: (agent) => bytes(agent.disk_bytes) },
          ]}
        />
      )}
    </Asked>
  );
}
