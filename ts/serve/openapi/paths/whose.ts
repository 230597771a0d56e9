/** Headers that say whose turn it is, on every route of a protocol that does not name agents in its paths. */
import { inHeader } from '../operation.js';

export const whose = [
  inHeader('X-Agent-ID', 'Which agent it is; else its session, else what the conversation begins with'),
  inHeader('X-Session-ID', 'The agent is named after it'),
];
