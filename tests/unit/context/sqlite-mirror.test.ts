import { sqliteBench } from './bench.js';
import { mirrorSuite } from './mirror.suite.js';

mirrorSuite('on SQLite', sqliteBench);
