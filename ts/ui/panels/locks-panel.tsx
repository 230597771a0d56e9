/** Locks: who holds them, with which token, and who waits. */
import { duration } from '../parts/format.js';
import { Table } from '../parts/table.js';
import { Asked } from './asked.js';
import type { LocksBody } from './panel-types.js';

export function LocksPanel() {
  return (
    <Asked<LocksBody> path="/v1/locks">
      {({ locks, waiting }) => (
        <>
          <Table
            label="Locks"
            rows={locks}
            keyOf={(lock) => `${lock.resource_key} ${lock.fencing_token} ${lock.holder_session_id}`}
            empty="Nothing is locked."
            columns={[
              { title: 'Resource', cell: (lock) => lock.resource_key },
              { title: 'Held by', cell: (lock) => lock.holder_agent_id },
              { title: 'Token', isNumber: true, cell: (lock) => lock.fencing_token },
              { title: 'For', isNumber: true, cell: (lock) => duration(lock.held_duration_ms) },
              { title: 'Left', isNumber: true, cell: (lock) => duration(lock.ttl_remaining_ms) },
              { title: 'Waiting', isNumber: true, cell: (lock) => lock.waiters },
            ]}
          />
          {waiting.length === 0 ? null : (
            <>
              <h3>Waiting, first to last</h3>
              <ol>
                {waiting.map((waiter, at) => (
                  <li key={at}>
                    {waiter.agent_id} for {waiter.resource_keys.join(', ')}
                  </li>
                ))}
              </ol>
            </>
          )}
        </>
      )}
    </Asked>
  );
}
