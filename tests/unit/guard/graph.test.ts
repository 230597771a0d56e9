import { sqliteDatabase } from '../../servers/databases.js';
import { graphSuite } from './graph.suite.js';

graphSuite('on SQLite', sqliteDatabase);
