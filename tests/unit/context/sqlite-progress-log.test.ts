import { sqliteDatabase } from '../../servers/databases.js';
import { progressLogSuite } from './progress-log.suite.js';

progressLogSuite('on SQLite', sqliteDatabase);
