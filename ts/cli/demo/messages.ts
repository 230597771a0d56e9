/** What the demo and its worker process say to each other. Plain data: it crosses a process boundary. */
import type { EngineInfo, EngineOptions, LoadProgress, Usage } from '../../engine/types.js';
import type { StompErrorCode } from '../../errors.js';

export interface TurnRequest {
  readonly agent: string;
  readonly system: string;
  readonly message: string;
  readonly maxTokens: number;
}

export type ToWorker =
  | { readonly type: 'load'; readonly model: string; readonly options: EngineOptions }
  | { readonly type: 'turn'; readonly turn: TurnRequest }
  | { readonly type: 'close' };

export interface TurnAnswer {
  readonly text: string;
  readonly usage: Usage;
}

export type FromWorker =
  | { readonly type: 'progress'; readonly progress: LoadProgress }
  | { readonly type: 'loaded'; readonly info: EngineInfo }
  | { readonly type: 'answer'; readonly answer: TurnAnswer }
  | { readonly type: 'closed' }
  | { readonly type: 'error'; readonly code: StompErrorCode; readonly message: string };
