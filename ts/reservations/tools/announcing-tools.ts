/** To announce what will be touched, and to take it back, as tools. */
import { given } from '../../tools/parameters.js';
import { type AnyCaller, openTool, type Tool } from '../../tools/tool.js';
import type { Reservations } from '../reservations.js';
import { toWire } from '../wire.js';
import {
  addresses,
  adds,
  changes,
  looks,
  namedBy,
  operation,
  reservationId,
  runId,
  runIdOf,
  text,
  ttl,
  who,
  whole,
} from './parameters.js';

export function announcingTools(reservations: Reservations): Tool[] {
  return [reserveTool, intentTool, releaseTool, renewTool, listTool, awaitTool, gcTool].map((make) =>
    make(reservations),
  );
}

function reserveTool(reservations: Reservations): Tool {
  return openTool({
    name: 'reserve_symbols',
    title: 'Announce which symbols you will touch',
    description:
      'Tells other agents what you are about to edit, and you what they have reserved of it ("held"). Nothing keeps ' +
      'anybody from an edit. With "if_free" it is refused with RESERVATION_CONFLICT where another agent has any of it.',
    inputSchema: {
      type: 'object',
      properties: {
        addresses,
        operation,
        ttl_seconds: ttl,
        if_free: { type: 'boolean', description: 'Only where no other agent has any of it. Default: false' },
        lock: {
          type: 'boolean',
          description: "Takes the guard's leases on the files, too, which do keep others out. Default: false",
        },
        forecast: {
          type: 'boolean',
          description:
            'Tells what will clash with it, too ("conflicts"), as forecast_conflicts does. Default: false',
        },
        ...who,
      },
      required: ['addresses'],
      additionalProperties: false,
    },
    hints: adds,
    run: async (args, caller) => {
      const { reservation, ...rest } = await reservations.reserve({
        runId: runIdOf(args, caller),
        addresses: args.addresses,
        ...given({
          branch: args.branch,
          operation: args.operation,
          ttlSeconds: args.ttl_seconds,
          ifFree: args.if_free,
          lock: args.lock === true ? (sessionOf(caller) ?? true) : undefined,
          forecast: args.forecast,
          // Whoever writes an address by hand is told of a slip.
          check: true,
          signal: caller?.signal,
        }),
      });
      return toWire({ ...reservation, ...rest });
    },
  });
}

function intentTool(reservations: Reservations): Tool {
  return openTool({
    name: 'declare_intent',
    title: 'Say what exactly you will do with symbols',
    description:
      'Under a reservation, or on its own for an hour. Forecasts tell a rename from an edit by it: a delete against a ' +
      'modify is a conflict of its own.',
    inputSchema: {
      type: 'object',
      properties: {
        reservation_id: reservationId,
        addresses: {
          ...addresses,
          description: `${addresses.description}. Default: those of the reservation`,
        },
        operation,
        detail: text('In your own words'),
        ...who,
      },
      required: ['operation'],
      additionalProperties: false,
    },
    hints: adds,
    run: async (args, caller) => {
      const intent = await reservations.intent({
        runId: runIdOf(args, caller),
        operation: args.operation,
        ...given({
          branch: args.branch,
          reservationId: args.reservation_id,
          addresses: args.addresses,
          detail: args.detail,
        }),
      });
      return toWire(intent);
    },
  });
}

function releaseTool(reservations: Reservations): Tool {
  return openTool({
    name: 'release_reservation',
    title: 'Give reserved symbols back',
    description: 'Ends a reservation of yours, its intents and its leases. The record stays as a trail.',
    inputSchema: {
      type: 'object',
      properties: { reservation_id: reservationId, run_id: runId },
      required: ['reservation_id'],
      additionalProperties: false,
    },
    hints: changes,
    run: async (args, caller) => {
      const { reservation, warnings } = await reservations.release({
        reservationId: args.reservation_id,
        runId: runIdOf(args, caller),
      });
      return toWire({ ...reservation, warnings });
    },
  });
}

function renewTool(reservations: Reservations): Tool {
  return openTool({
    name: 'renew_reservation',
    title: 'Keep reserved symbols for longer',
    description:
      'Lets a reservation of yours, and its leases, hold for so long from now on; never shorter than before. One that ' +
      'has ended is not revived.',
    inputSchema: {
      type: 'object',
      properties: { reservation_id: reservationId, ttl_seconds: ttl, run_id: runId },
      required: ['reservation_id'],
      additionalProperties: false,
    },
    hints: changes,
    run: async (args, caller) => {
      const { reservation, warnings } = await reservations.renew({
        reservationId: args.reservation_id,
        runId: runIdOf(args, caller),
        ...given({ ttlSeconds: args.ttl_seconds, signal: caller?.signal }),
      });
      return toWire({ ...reservation, warnings });
    },
  });
}

function listTool(reservations: Reservations): Tool {
  return openTool({
    name: 'list_reservations',
    title: 'See who has announced what',
    description: 'Reservations and intents that hold now, the oldest first.',
    inputSchema: {
      type: 'object',
      properties: {
        all: { type: 'boolean', description: 'Those that have ended, too. Default: false' },
      },
      required: [],
      additionalProperties: false,
    },
    hints: looks,
    run: async (args) => toWire(await reservations.list(given({ all: args.all }))),
  });
}

function awaitTool(reservations: Reservations): Tool {
  return openTool({
    name: 'await_symbols',
    title: 'Wait until symbols are free',
    description:
      'Answers once no other agent has any of the addresses; RESERVATION_CONFLICT when the time is up. Reserve them with ' +
      '"if_free" then: somebody may be faster.',
    inputSchema: {
      type: 'object',
      properties: {
        addresses,
        timeout_seconds: whole('How long to wait. Default: a day', 0, 24 * 3600),
        ...who,
      },
      required: ['addresses'],
      additionalProperties: false,
    },
    hints: looks,
    waits: true,
    run: async (args, caller) => {
      const name = args.run_id ?? namedBy(caller);
      await reservations.awaitFree({
        addresses: args.addresses,
        ...given({
          runId: name,
          branch: name === undefined ? undefined : args.branch,
          timeoutMs: args.timeout_seconds === undefined ? undefined : args.timeout_seconds * 1000,
          signal: caller?.signal,
        }),
      });
      return { free: true, addresses: args.addresses };
    },
  });
}

function gcTool(reservations: Reservations): Tool {
  return openTool({
    name: 'archive_reservations',
    title: 'Move old records aside',
    description: 'Moves what has ended long ago to the archive, where it is no longer read.',
    inputSchema: {
      type: 'object',
      properties: {
        older_than_seconds: whole(
          'How long ago it must have ended. Default: a week',
          0,
          100 * 366 * 24 * 3600,
        ),
      },
      required: [],
      additionalProperties: false,
    },
    hints: changes,
    role: 'admin',
    run: async (args) => ({
      archived: await reservations.gc(given({ olderThanSeconds: args.older_than_seconds })),
    }),
  });
}

/** Leases are given to a sitting of the agent. */
function sessionOf(caller: AnyCaller): string | undefined {
  return caller?.agentId === undefined ? undefined : (caller.said ?? caller).sessionId;
}
