/** What callers ask of reservations, checked at the edge. Pure. */
import {
  checkBoolean,
  checkChoice,
  checkFields,
  checkInteger,
  checkObserver,
  checkSignal,
  refuse,
} from '../arguments.js';
import type {
  CodeCall,
  ImpactQuestion,
  MergeQuestion,
  ReconcileQuestion,
  ShardQuestion,
} from './code/code.js';
import { isDetail, isRecordId, maxAddresses, maxDetailLength, maxNameLength } from './records/fields.js';
import { defaultTtlSeconds } from './records/records.js';
import { isLine, normalAddresses } from './symbols/given-address.js';
import { type Operation, operations, type Party } from './types.js';

/** Who announces something. */
export interface Caller {
  readonly runId: string;
  /** By default the one that is checked out in the folder. */
  readonly branch?: string | undefined;
}

/** Symbols to be announced. */
export interface ReserveRequest extends Caller {
  readonly addresses: readonly string[];
  /** How long it holds. @default 3600 */
  readonly ttlSeconds?: number | undefined;
  readonly operation?: Operation | null | undefined;
  /** Only where no other agent has any of it. @default false */
  readonly ifFree?: boolean | undefined;
  /** Takes the guard's leases on the files, too, for this session of the agent; `true` for one named as the branch. */
  readonly lock?: boolean | string | undefined;
  /** Tells what will clash with it, too, as a forecast does: the code is read for it. @default false */
  readonly forecast?: boolean | undefined;
  /** Warns of symbols and files that are not there, as a forecast does: these files are read for it. @default false */
  readonly check?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What will clash; without names for everybody. */
export interface ForecastRequest extends CodeCall {
  /** Only conflicts of this run of an agent. */
  readonly runId?: string | undefined;
  /** Only those of agents on this branch. */
  readonly branch?: string | undefined;
}

/** What will be done with symbols. */
export interface IntentRequest extends Caller {
  /** Without it the intent stands alone, for an hour. */
  readonly reservationId?: string | undefined;
  /** By default those of the reservation. */
  readonly addresses?: readonly string[] | undefined;
  readonly operation: Operation;
  readonly detail?: string | undefined;
}

/** A reservation to be ended, by whoever made it. */
export interface ReleaseRequest {
  readonly reservationId: string;
  readonly runId: string;
}

/** A reservation to be prolonged, by whoever made it. */
export interface RenewRequest extends ReleaseRequest {
  /** From now on. @default 3600 */
  readonly ttlSeconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Symbols that somebody waits for. */
export interface AwaitRequest {
  readonly addresses: readonly string[];
  /** Whose own reservations are not waited for; with `branch`. */
  readonly runId?: string | undefined;
  readonly branch?: string | undefined;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

// Thirty days: who wants more renews it.
const longestTtlSeconds = 30 * 24 * 3600;
const longestWaitMs = 24 * 3600 * 1000;

export function checkReserve(request: ReserveRequest) {
  const known = [
    'runId',
    'branch',
    'addresses',
    'ttlSeconds',
    'operation',
    'ifFree',
    'lock',
    'forecast',
    'check',
    'signal',
  ];
  checkFields('reservation', request, known);
  const party = checkParty(request);
  return {
    party,
    addresses: normalAddresses('addresses', request.addresses, maxAddresses),
    ttlSeconds: checkTtl(request.ttlSeconds),
    operation: request.operation == null ? null : checkOperation(request.operation),
    ifFree: checkBoolean('ifFree', request.ifFree, false),
    session: checkSession(request.lock, party),
    forecast: checkBoolean('forecast', request.forecast, false),
    check: checkBoolean('check', request.check, false),
    signal: checkSignal('signal', request.signal),
  };
}

export function checkIntent(request: IntentRequest) {
  checkFields('intent', request, ['runId', 'branch', 'reservationId', 'addresses', 'operation', 'detail']);
  const { reservationId, detail = '' } = request;
  if (!isDetail(detail)) refuse('detail', detail, `a text of at most ${maxDetailLength} characters`);
  const addresses =
    request.addresses === undefined && reservationId
      ? undefined
      : normalAddresses('addresses', request.addresses, maxAddresses);
  return {
    party: checkParty(request),
    reservationId: reservationId ? checkId(reservationId) : undefined,
    addresses,
    operation: checkOperation(request.operation),
    detail,
  };
}

export function checkRelease(request: ReleaseRequest): ReleaseRequest {
  checkFields('release', request, ['reservationId', 'runId']);
  return { reservationId: checkId(request.reservationId), runId: checkName('runId', request.runId) };
}

export function checkRenew(request: RenewRequest) {
  checkFields('renewal', request, ['reservationId', 'runId', 'ttlSeconds', 'signal']);
  return {
    reservationId: checkId(request.reservationId),
    runId: checkName('runId', request.runId),
    ttlSeconds: checkTtl(request.ttlSeconds),
    signal: checkSignal('signal', request.signal),
  };
}

export function checkAwait(request: AwaitRequest) {
  checkFields('wait', request, ['addresses', 'runId', 'branch', 'timeoutMs', 'signal']);
  const { runId, branch, timeoutMs } = request;
  const known = runId !== undefined || branch !== undefined;
  return {
    addresses: normalAddresses('addresses', request.addresses, maxAddresses),
    party: known ? checkParty({ runId: runId as string, branch: branch as string }) : undefined,
    timeoutMs: checkInteger('timeoutMs', timeoutMs, longestWaitMs, { min: 0, max: longestWaitMs }),
    signal: checkSignal('signal', request.signal),
  };
}

/** How old what is moved aside must be. */
export function checkAge(seconds: unknown): number {
  const week = 7 * 24 * 3600;
  return checkInteger('olderThanSeconds', seconds, week, { min: 0, max: 100 * 366 * 24 * 3600 });
}

export function checkCall(call: CodeCall): CodeCall {
  checkFields('call', call, ['signal', 'onProgress']);
  return {
    signal: checkSignal('signal', call.signal),
    onProgress: checkObserver('onProgress', call.onProgress),
  };
}

export function checkForecast(request: ForecastRequest) {
  checkFields('forecast', request, ['runId', 'branch', 'signal', 'onProgress']);
  const { runId, branch, ...call } = request;
  return {
    only: {
      runId: runId === undefined ? undefined : checkName('runId', runId),
      branch: branch === undefined ? undefined : checkName('branch', branch),
    },
    call: checkCall(call),
  };
}

export function checkImpact(question: ImpactQuestion): ImpactQuestion {
  checkFields('impact', question, ['addresses', 'depth']);
  const addresses = normalAddresses('addresses', question.addresses, maxAddresses);
  return { addresses, depth: checkInteger('depth', question.depth, 5, { min: 1, max: 100 }) };
}

export function checkShard(question: ShardQuestion): ShardQuestion {
  checkFields('shard', question, ['count']);
  if (question.count === undefined) refuse('count', question.count, 'how many parts');
  return { count: checkInteger('count', question.count, 1, { min: 1, max: 1000 }) };
}

export function checkMerge(question: MergeQuestion): MergeQuestion {
  checkFields('merge', question, ['ours', 'theirs', 'base', 'out', 'withMarkers']);
  const { ours, theirs, base, out, withMarkers } = question;
  return {
    ours: checkRef('ours', ours),
    theirs: checkRef('theirs', theirs),
    base: base === undefined ? undefined : checkRef('base', base),
    out: out === undefined ? undefined : checkPath('out', out),
    withMarkers: checkBoolean('withMarkers', withMarkers, false),
  };
}

export function checkReconcile(question: ReconcileQuestion): ReconcileQuestion {
  checkFields('reconcile', question, ['branches', 'into']);
  const { branches, into } = question;
  if (branches !== undefined && (!Array.isArray(branches) || branches.length === 0))
    refuse('branches', branches, 'a list of branches');
  return {
    branches: branches?.map((branch, i) => checkRef(`branches[${i}]`, branch)),
    into: into === undefined ? undefined : checkRef('into', into),
  };
}

/** What the names of commits may be is git's to say. */
function checkRef(field: string, value: unknown): string {
  return isLine(value, maxNameLength)
    ? value
    : refuse(field, value, 'the name of a branch, a tag or a commit');
}

function checkPath(field: string, value: unknown): string {
  return isLine(value, 4096) ? value : refuse(field, value, 'the path of a new folder');
}

function checkParty({ runId, branch }: Caller): Party {
  return { runId: checkName('runId', runId), branch: checkName('branch', branch) };
}

function checkName(field: string, value: unknown): string {
  const allowed = `a name of one line, 1 to ${maxNameLength} characters`;
  return isLine(value, maxNameLength) ? value : refuse(field, value, allowed);
}

function checkId(value: unknown): string {
  return isRecordId(value) ? value : refuse('reservationId', value, 'the id of a reservation');
}

function checkTtl(value: unknown): number {
  return checkInteger('ttlSeconds', value, defaultTtlSeconds, { min: 1, max: longestTtlSeconds });
}

function checkOperation(value: unknown): Operation {
  if (value === undefined) refuse('operation', value, `one of ${operations.join(', ')}`);
  return checkChoice('operation', value, 'modify', operations);
}

function checkSession(lock: unknown, { branch }: Party): string | undefined {
  if (lock === undefined || lock === false) return undefined;
  return lock === true ? branch : checkName('lock', lock);
}
