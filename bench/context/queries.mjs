// The queries that are timed, each by a name and what it asks in round i, so that no two rounds ask quite the same.
import { begin, lengths, ofLine, project } from './fill.mjs';

const agent = (i) => `agent-${i % 64}`;
const at = (spread, share) => begin + Math.floor(lengths[spread] * share);
const hard = ['regex', 'frequent substring', 'short substring', 'least confidence'];

/** Whether a query is to take less than the target; the others read the whole log. */
export const isTarget = (name) => !hard.includes(name);

export const queries = (count, spread) => ({
  'first page': () => ({}),
  'page 300': (i) => ({ page: 300 + i }),
  'page in the middle': (i) => ({ page: Math.floor(count / 100) + i }),
  'last page': () => ({ page: Math.floor(count / 50) }),
  'frequent status': (i) => ({ status: 'info', page: 1 + i }),
  'frequent status, page 300': (i) => ({ status: 'info', page: 300 + i }),
  'rare status': (i) => ({ status: 'bug', page: 1 + (i % 10) }),
  'two statuses, page 100': (i) => ({ status: ['error', 'warn'], page: 100 + i }),
  'rare priority': (i) => ({ priority: 'critical', page: 1 + (i % 10) }),
  'rare emoji': () => ({ emoji: '🚀' }),
  agent: (i) => ({ agents: agent(i) }),
  'agent, page 100': (i) => ({ agents: agent(i), page: 100 }),
  'agent and rare status': (i) => ({ agents: agent(i), status: 'bug' }),
  'four agents and a status': (i) => ({ agents: [0, 1, 2, 3].map((n) => agent(i + n)), status: 'success' }),
  category: (i) => ({ category: 'build', page: 1 + i }),
  'category, page 300': (i) => ({ category: 'build', page: 300 + i }),
  'category and agent': (i) => ({ category: 'docs', agents: agent(i) }),
  'category and rare status': (i) => ({ category: 'docs', status: 'bug', page: 1 + (i % 2) }),
  'category, status, priority, agent': (i) => ({
    category: 'ops',
    status: 'error',
    priority: 'high',
    agents: agent(i),
  }),
  'short range': (i) => ({ start: at(spread, 0.5) + i, end: at(spread, 0.51) }),
  'long range': (i) => ({ start: at(spread, 0.1) + i, end: at(spread, 0.9) }),
  'long range and status': (i) => ({ status: 'warn', start: at(spread, 0.1) + i, end: at(spread, 0.9) }),
  'long range and agent': (i) => ({ agents: agent(i), start: at(spread, 0.1) + i, end: at(spread, 0.9) }),
  'long range and category': (i) => ({ category: 'ops', start: at(spread, 0.1) + i, end: at(spread, 0.9) }),
  'all projects': (i) => ({ scope: 'all', page: 1 + i }),
  'frequent tag': (i) => ({ tags: 'ci', page: 1 + i }),
  'rare tag': () => ({ tags: 'rare' }),
  'tag and status': () => ({ tags: 'ci', status: 'error' }),
  'rare meta': (i) => ({ meta: { run: `r${(100 + i * 37) % Math.floor(count / 50)}` } }),
  'selective substring': (i) => ({ message: `REQ-${ofLine((1000 + i * 4001) % count)}` }),
  'selective substring, status': (i) => ({
    message: ofLine((1000 + i * 4001) % count).slice(0, 5),
    status: 'info',
  }),
  'absent substring': (i) => ({ message: `cache zebra ${i}` }),
  'exact message': (i) => ({ message: `req-${i}`, mode: 'exact' }),
  'frequent substring': () => ({ message: 'timeout' }),
  'short substring': () => ({ message: 'zz' }),
  'least confidence': () => ({ minConfidence: 0.99 }),
  regex: () => ({ message: 'req-0+[ab]+$', mode: 'regex' }),
});

export const queryOf = (query) => (query.scope === 'all' ? query : { project, ...query });
