import { sqliteDatabase } from '../../servers/databases.js';
import { recordStoreSuite } from './record-store.suite.js';
import { sqlRecordStoreSuite } from './sql-record-store.suite.js';
import { sqlBench } from './stores.js';

recordStoreSuite('in SQLite', async () => sqlBench(await sqliteDatabase()));
sqlRecordStoreSuite('in SQLite', sqliteDatabase);
