/**
 * The C++ tests: `npm run test:cpp`, and under sanitizers `npm run test:cpp -- --sanitize [list]`
 * (address,undefined unless told). STOMP_TEST_FILTER=text runs the tests whose names contain it.
 */
import { runCppTests } from './native/cpp-tests.mjs';

const at = process.argv.indexOf('--sanitize');
const sanitize = at < 0 ? '' : (process.argv[at + 1] ?? 'address,undefined');

try {
  const { passed, failed } = await runCppTests({ sanitize });
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed ? 1 : 0;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
