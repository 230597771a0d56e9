import { sqliteBench } from './bench.js';
import { transferSuite } from './transfer.suite.js';

transferSuite('from SQLite to SQLite', sqliteBench, sqliteBench);
