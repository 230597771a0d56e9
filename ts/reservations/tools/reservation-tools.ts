/** The tools of reservations. */
import type { Tool } from '../../tools/tool.js';
import type { ToolSet } from '../../tools/toolbox.js';
import type { Reservations } from '../reservations.js';
import { announcingTools } from './announcing-tools.js';
import { codeTools, type OnProgress } from './code-tools.js';

// The most addresses that a reservation can have, each of them as long as it can be.
const maxRequestBytes = 2 << 20;

/** Every tool of reservations, for a toolbox. */
export function reservationTools(
  reservations: Reservations,
  options: { readonly onProgress?: OnProgress | undefined } = {},
): ToolSet {
  return {
    topic: 'reservations of symbols, forecasts and merge plans',
    instructions:
      'Before you edit, reserve_symbols tells the other agents which symbols you will touch, and you what they have ' +
      'reserved; declare_intent says what you will do with them. forecast_conflicts shows what will clash. When you are ' +
      'done, release_reservation. plan_merge and reconcile_branches say how branches merge. Say who you are with run_id.',
    tools: [...announcingTools(reservations), ...codeTools(reservations, options.onProgress)],
    aliases: {
      reserve: 'reserve_symbols',
      intent: 'declare_intent',
      release: 'release_reservation',
      renew: 'renew_reservation',
      forecast: 'forecast_conflicts',
      impact: 'symbol_impact',
      shard: 'shard_repository',
      reconcile: 'reconcile_branches',
    },
    maxRequestBytes,
  };
}

/** What the tools take, for whoever has no reservations yet: help, and the reading of a command line. */
export function reservationToolShapes(): readonly Omit<Tool, 'call'>[] {
  // Only a call would use them.
  return reservationTools(undefined as unknown as Reservations).tools;
}
