import { logRecoverySuite } from './log-recovery.suite.js';
import { sqliteBackend } from './sqlite-backend.js';

logRecoverySuite('on SQLite', sqliteBackend);
