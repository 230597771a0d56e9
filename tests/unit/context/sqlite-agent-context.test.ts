import { agentContextSuite } from './agent-context.suite.js';
import { sqliteBench } from './sqlite-bench.js';

agentContextSuite('on SQLite', sqliteBench);
