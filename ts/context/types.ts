/** What the context manager takes and gives. Results have the names that they have on the wire. */
import type { Meta } from './entry.js';

/** The agent that a call is made for when it names none. */
export const defaultAgent = 'Scribe';

/** One sitting of an agent. */
export interface AgentSession {
  readonly session_id: string;
  readonly agent_id: string;
  readonly status: 'active' | 'expired';
  /** Milliseconds since 1970, as all times here. */
  readonly started_at: number;
  readonly last_active_at: number;
  /** Until when it lives unless it is renewed. */
  readonly expires_at: number;
  /** Why it is active no more: its lease ran out, another one has begun, or it was ended. */
  readonly reason: 'lease' | 'superseded' | 'ended' | null;
  readonly metadata: Meta;
}

/** What an agent works on. */
export interface CurrentProject {
  readonly agent_id: string;
  /** Null for none. */
  readonly project: string | null;
  /** Rises by one with each change; 0: nobody has ever set one. */
  readonly version: number;
  readonly updated_at: number | null;
  readonly updated_by: string | null;
  readonly session_id: string | null;
}

/** A project, and where its progress is written down. */
export interface Project {
  readonly name: string;
  /** Its folder, as an absolute path. */
  readonly root: string;
  /** The file, as an absolute path. */
  readonly progress_log_path: string;
  readonly description: string;
  readonly tags: readonly string[];
  readonly meta: Meta;
  readonly created_at: number;
  readonly updated_at: number;
}

/** A new session. */
export interface StartOptions {
  /** One that the caller has chosen; made when it is left out. */
  readonly sessionId?: string;
  readonly metadata?: Meta;
}

/** Which sessions. */
export interface SessionListOptions {
  readonly agentId?: string;
  /** Left out: both. */
  readonly status?: 'active' | 'expired';
  /** @default 100 */
  readonly limit?: number;
}

/** Which events. */
export interface EventOptions {
  readonly agentId?: string;
  readonly type?: ContextEventType;
  /** Only those with a smaller id, for the next page. */
  readonly before?: number;
  /** @default 100 */
  readonly limit?: number;
}

/** By whom a current project is set, and from which version. */
export interface SetProjectOptions {
  readonly sessionId: string;
  /** Changes nothing unless this is the version; 0: there is none yet. Left out: whatever it is. */
  readonly expectedVersion?: number;
  /** Who did it, for whoever is told of a conflict. @default the agent */
  readonly updatedBy?: string;
}

/** A new project. */
export interface ProjectOptions {
  readonly name: string;
  /** @default the first of the folders that projects must lie in, or else the working directory */
  readonly root?: string;
  /** Below the root unless it is absolute. @default `.stomp/<name>/PROGRESS_LOG.md` */
  readonly progressLogPath?: string;
  readonly description?: string;
  /** At most 64, as a list or separated by commas. */
  readonly tags?: readonly string[] | string;
  readonly meta?: Meta;
}

/** What may be changed of a project. Its log is made anew where it now is; files at the old place stay. */
export type ProjectChanges = Partial<Omit<ProjectOptions, 'name'>>;

/** Something that has happened to an agent's sessions or its current project. */
export interface ContextEvent {
  readonly id: number;
  readonly agent_id: string;
  readonly session_id: string | null;
  readonly event_type: ContextEventType;
  readonly from_project: string | null;
  readonly to_project: string | null;
  readonly expected_version: number | null;
  readonly actual_version: number | null;
  readonly success: boolean;
  readonly error_message: string | null;
  readonly metadata: Meta;
  readonly created_at: number;
}

/** What may happen. */
export const contextEventTypes = [
  'project_set',
  'project_switched',
  'project_cleared',
  'session_started',
  'session_ended',
  'session_expired',
  'conflict_detected',
] as const;

/** One of them. */
export type ContextEventType = (typeof contextEventTypes)[number];
