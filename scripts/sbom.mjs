/**
 * Writes the package's bill of materials, `sbom.cdx.json` (CycloneDX 1.5): the npm packages that are installed with
 * it, by `npm sbom`, and the native parts that npm does not know.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nativeParts } from './native/native-parts.mjs';
import { npmProgram } from './native/programs.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

function npmSbom() {
  const args = ['sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev', '--package-lock-only'];
  const { status, stdout, stderr } = spawnSync(process.execPath, [npmProgram(), ...args], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`stomp-serve: npm sbom failed: ${stderr}`);
  return JSON.parse(stdout);
}

/** @param {import('./native/native-parts.mjs').NativePart} part */
function component({ name, version, license, purl, where, sha256 }) {
  // An expression where there is an exception, else one licence by its id.
  const licenses = license.includes(' ') ? [{ expression: license }] : [{ license: { id: license } }];
  return {
    'bom-ref': purl,
    type: 'library',
    name,
    version,
    scope: 'optional',
    purl,
    licenses,
    ...(sha256 ? { hashes: [{ alg: 'SHA-256', content: sha256 }] } : {}),
    properties: [{ name: 'stomp-serve:where', value: where }],
  };
}

/**
 * @param {object} sbom of npm
 * @param {import('./native/native-parts.mjs').NativePart[]} parts
 * @returns {object} one that has both, the parts as dependencies of the package itself
 */
export function withParts(sbom, parts) {
  const { name } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const own = sbom.metadata.component['bom-ref'];
  const refs = parts.map((part) => part.purl);
  return {
    ...sbom,
    // npm takes the folder's name.
    metadata: { ...sbom.metadata, component: { ...sbom.metadata.component, name } },
    components: [...sbom.components, ...parts.map(component)],
    dependencies: [
      ...sbom.dependencies.map((one) =>
        one.ref === own ? { ...one, dependsOn: [...one.dependsOn, ...refs] } : one,
      ),
      ...refs.map((ref) => ({ ref, dependsOn: [] })),
    ],
  };
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const sbom = withParts(npmSbom(), nativeParts());
  writeFileSync(join(root, 'sbom.cdx.json'), `${JSON.stringify(sbom, undefined, 1)}\n`);
  console.log(`stomp-serve: sbom.cdx.json, ${sbom.components.length} components`);
}
