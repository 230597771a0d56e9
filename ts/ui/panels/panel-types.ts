/** What the server answers where panels ask. */

export interface AgentBody {
  readonly agent_id: string;
  readonly tier: string;
  readonly tokens: number;
  readonly blocks: number;
  readonly pool_bytes: number;
  readonly disk_bytes: number;
  readonly last_used: string;
  readonly hit_rate: number;
}

export interface PoolGroup {
  readonly capacity: number;
  readonly free: number;
  readonly cached: number;
  readonly block_bytes: number;
}

export interface StatsBody {
  readonly model: string | null;
  readonly rss_bytes: number;
  readonly running_turns: number;
  readonly engine: {
    readonly block_tokens: number;
    readonly pool: readonly PoolGroup[];
    readonly active: number;
    readonly waiting: number;
    readonly preemptions: number;
    readonly evictions_hot: number;
    readonly disk_bytes: number;
  } | null;
}

export interface LocksBody {
  readonly locks: readonly {
    readonly resource_key: string;
    readonly holder_agent_id: string;
    readonly holder_session_id: string;
    readonly fencing_token: string;
    readonly held_duration_ms: number;
    readonly ttl_remaining_ms: number;
    readonly waiters: number;
  }[];
  readonly waiting: readonly {
    readonly agent_id: string;
    readonly session_id: string;
    readonly resource_keys: readonly string[];
  }[];
}

export interface SessionsBody {
  readonly sessions: readonly {
    readonly session_id: string;
    readonly agent_id: string;
    readonly status: string;
    readonly started_at: number;
    readonly expires_at: number;
  }[];
}

export interface ProjectsBody {
  readonly projects: readonly {
    readonly name: string;
    readonly root: string;
    readonly description: string;
  }[];
}

export interface ReservationsBody {
  readonly reservations: readonly {
    readonly reservation_id: string;
    readonly run_id: string;
    readonly branch: string;
    readonly addresses: readonly string[];
    readonly operation: string | null;
    readonly expires_at: string;
  }[];
}

export interface ForecastBody {
  readonly conflicts: readonly {
    readonly conflict_type: string;
    readonly addresses: readonly string[];
    readonly agents: readonly string[];
    readonly confidence: number;
    readonly description: string;
  }[];
  readonly high_risk: number;
  readonly medium_risk: number;
  readonly low_risk: number;
}
