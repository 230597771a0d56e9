import { sqliteDatabase } from '../../servers/databases.js';
import { logRecoverySuite } from './log-recovery.suite.js';

logRecoverySuite('on SQLite', sqliteDatabase);
