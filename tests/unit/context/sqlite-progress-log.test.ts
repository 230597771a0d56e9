import { progressLogSuite } from './progress-log.suite.js';
import { sqliteBackend } from './sqlite-backend.js';

progressLogSuite('on SQLite', sqliteBackend);
