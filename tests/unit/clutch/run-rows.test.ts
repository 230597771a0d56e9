import { sqliteDatabase } from '../../servers/databases.js';
import { runRowsSuite } from './run-rows.suite.js';

runRowsSuite('on SQLite', sqliteDatabase);
