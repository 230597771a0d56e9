/**
 * Holds the licences of all packages in the lock file, and of the native parts that npm does not know, against the
 * lists below. Exit status 1 names everything that is not allowed.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nativeParts, recordedExceptions } from './native/native-parts.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

const runTime = ['MIT', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', 'ISC', 'BlueOak-1.0.0', '0BSD', 'Zlib'];
// SQLite's is public domain with a blessing.
const native = [...runTime, 'blessing'];
// Never shipped: tools on a developer's machine.
// The Unlicense (public domain): fast-sha256, which Anthropic's client brings.
const development = [...runTime, 'MPL-2.0', 'Unlicense'];

// Single packages outside the lists, each with its reason.
const exceptions = new Map([
  // Permissive, GPL-compatible; TypeDoc's Markdown parser brings it, and only development does TypeDoc.
  ['argparse', 'Python-2.0'],
  // SCOWL's terms, which ask for its notices and nothing else; "BSD" is no name that SPDX knows.
  ['dictionary-en-gb', '(MIT AND BSD)'],
]);

/**
 * Whether an SPDX expression can be satisfied from a list; OR binds weaker than AND.
 * @param {string} expression
 * @param {string[]} allowed
 */
export function satisfied(expression, allowed) {
  const flat = expression.replaceAll(/[()]/g, ' ').trim();
  return flat.split(/\s+OR\s+/).some((side) => side.split(/\s+AND\s+/).every((id) => allowed.includes(id)));
}

/** What a package says of itself; the lock file repeats it, but only the package counts where it is installed. */
function licenseOf(path, entry) {
  const manifest = join(root, path, 'package.json');
  const own = existsSync(manifest) ? JSON.parse(readFileSync(manifest, 'utf8')).license : undefined;
  const license = own ?? entry.license;
  return typeof license === 'string' ? license : (license?.type ?? 'none');
}

/** @returns {{ checked: number, refused: string[] }} */
export function checkLicenses() {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const installed = Object.entries(packages).filter(([path]) => path !== '');
  const refused = installed.flatMap(([path, entry]) => {
    const license = licenseOf(path, entry);
    const name = path.replace(/^.*node_modules\//, '');
    if (satisfied(license, entry.dev ? development : runTime)) return [];
    if (entry.dev && exceptions.get(name) === license) return [];
    return [`${name} ${entry.version}: ${license}${entry.dev ? ' (development)' : ''}`];
  });
  return { checked: installed.length, refused };
}

/**
 * @param {import('./native/native-parts.mjs').NativePart[]} parts
 * @returns {{ checked: number, refused: string[] }}
 */
export function checkParts(parts) {
  const refused = parts
    .filter(({ name, license }) => !satisfied(license, native) && recordedExceptions.get(name) !== license)
    .map(({ name, version, license }) => `${name} ${version}: ${license} (native)`);
  return { checked: parts.length, refused };
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const packages = checkLicenses();
  const parts = checkParts(nativeParts());
  const refused = [...packages.refused, ...parts.refused];
  for (const line of refused) console.error(line);
  console.log(
    `${packages.checked} packages and ${parts.checked} native parts checked, ${refused.length} not allowed`,
  );
  process.exitCode = refused.length ? 1 : 0;
}
