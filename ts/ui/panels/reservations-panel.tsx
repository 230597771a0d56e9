/** Who will touch which symbols, and what will clash. */
import { duration, percent } from '../parts/format.js';
import { Table } from '../parts/table.js';
import { useNow } from '../state/clock.js';
import { Asked } from './asked.js';
import type { ForecastBody, ReservationsBody } from './panel-types.js';

export function ReservationsPanel() {
  const now = useNow();
  return (
    <>
      <Asked<ReservationsBody> path="/v1/reservations">
        {({ reservations }) => (
          <Table
            label="Reservations"
            rows={reservations}
            keyOf={({ reservation_id }) => reservation_id}
            empty="Nothing is reserved."
            columns={[
              { title: 'By', cell: ({ run_id, branch }) => `${run_id} on ${branch}` },
              { title: 'To', cell: ({ operation }) => operation ?? 'touch' },
              { title: 'Symbols', cell: ({ addresses }) => addresses.join(', ') },
              { title: 'Left', isNumber: true, cell: (one) => duration(Date.parse(one.expires_at) - now) },
            ]}
          />
        )}
      </Asked>
      <h3>Forecast</h3>
      <Asked<ForecastBody> path="/v1/forecast">
        {({ conflicts }) => (
          <Table
            label="Forecast"
            rows={conflicts}
            keyOf={(one) => `${one.conflict_type} ${one.agents.join()} ${one.addresses.join()}`}
            empty="No clash is foreseen."
            columns={[
              { title: 'How sure', isNumber: true, cell: ({ confidence }) => percent(confidence) },
              { title: 'Between', cell: ({ agents }) => agents.join(' and ') },
              { title: 'What', cell: ({ description }) => description },
            ]}
          />
        )}
      </Asked>
    </>
  );
}
