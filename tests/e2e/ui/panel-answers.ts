/** Answers for the panels, with the shapes of the real ones. */
const at = Date.now();

export const panelAnswers: Readonly<Record<string, unknown>> = {
  '/v1/run-options': {
    providers: [
      { name: 'engine', default_model: 'qwen3-coder-30b' },
      { name: 'anthropic', default_model: 'claude-opus-4-6' },
    ],
    default_provider: 'engine',
    base_dirs: ['/home/ann/shop'],
    gate: 'all',
  },
  '/v1/agents': {
    object: 'list',
    data: ['builder', 'reviewer', 'tester', 'writer', 'migrator', 'planner'].map((agent_id, n) => ({
      agent_id,
      tier: ['hot', 'hot', 'warm', 'hot', 'disk', 'hot'][n],
      tokens: 18_420 - n * 2300,
      blocks: 1152 - n * 130,
      pool_bytes: n === 4 ? 0 : 301_000_000 - n * 31_000_000,
      disk_bytes: 96_000_000,
      saved: true,
      last_used: new Date(at).toISOString(),
      requests: 40,
      prompt_tokens: 100_000,
      cached_tokens: 96_000 - n * 3000,
      hit_rate: 0.96 - n * 0.03,
    })),
  },
  '/v1/admin/stats': {
    phase: 'ready',
    model: 'qwen3-coder-30b',
    uptime_ms: 1_000_000,
    rss_bytes: 4_000_000_000,
    running_turns: 3,
    engine: {
      block_tokens: 16,
      pool: [{ capacity: 4096, free: 900, cached: 1500, block_bytes: 262_144 }],
      active: 3,
      waiting: 1,
      preemptions: 0,
      evictions_hot: 4,
      disk_bytes: 820_000_000,
    },
  },
  '/v1/locks': {
    locks: [
      {
        resource_key: 'file:src/cart/checkout.ts',
        holder_agent_id: 'builder',
        holder_session_id: 's-19',
        fencing_token: '4182',
        held_duration_ms: 12_000,
        ttl_remaining_ms: 18_000,
        waiters: 1,
      },
    ],
    waiting: [{ agent_id: 'reviewer', session_id: 's-20', resource_keys: ['file:src/cart/checkout.ts'] }],
  },
  '/v1/tools/session_list': {
    sessions: [
      {
        session_id: 's-19',
        agent_id: 'builder',
        status: 'active',
        started_at: at - 600_000,
        expires_at: at + 900_000,
      },
    ],
  },
  '/v1/projects': {
    projects: [{ name: 'shop', root: '/home/ann/shop', description: 'The web shop' }],
  },
  '/v1/reservations': {
    reservations: [
      {
        reservation_id: 'r-1',
        run_id: 'builder',
        branch: 'main',
        addresses: ['src/cart/checkout.ts::total'],
        operation: 'modify',
        created_at: new Date(at).toISOString(),
        expires_at: new Date(at + 600_000).toISOString(),
      },
    ],
    intents: [],
    warnings: [],
  },
  '/v1/forecast': {
    active_reservations: 1,
    intents: 0,
    conflicts: [
      {
        conflict_type: 'signature_dependency',
        addresses: ['src/cart/checkout.ts::total'],
        agents: ['builder@main', 'reviewer@main'],
        confidence: 0.85,
        description: 'reviewer calls total, whose signature builder changes',
      },
    ],
    high_risk: 1,
    medium_risk: 0,
    low_risk: 0,
    warnings: [],
  },
};
