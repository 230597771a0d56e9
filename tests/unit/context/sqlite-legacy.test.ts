import { sqliteBench } from './bench.js';
import { legacySuite } from './legacy.suite.js';

legacySuite('on SQLite', sqliteBench);
