import { describe, expect, it } from 'vitest';
import { bounds, linksOutside, problemsOf } from '../../../scripts/check-tarball.mjs';
import { readPage } from '../../../scripts/docs/markdown.mjs';
import { checkParts } from '../../../scripts/licenses.mjs';
import { parseNeeds } from '../../../scripts/native/elf-needs.mjs';
import { readMachO, undefinedSymbols } from '../../../scripts/native/mach-o.mjs';
import { nativeParts } from '../../../scripts/native/native-parts.mjs';
import { withParts } from '../../../scripts/sbom.mjs';

const packed = (...paths: string[]) => ({
  size: 1,
  unpackedSize: 1,
  files: paths.map((path) => ({ path })),
});

describe('what would be published', () => {
  it.each([
    ['dist/index.js.map', 'a source map'],
    ['tests/unit/a.ts', 'a test'],
    ['dist/a.test.js', 'a test'],
    ['ts/index.ts', 'a source of TypeScript'],
    ['.env', 'a file of secrets'],
    ['config/server.pem', 'a file of secrets'],
    ['dist/.tsbuildinfo', 'left over from a build'],
    ['prebuilds/linux-x64/mlx-0.32.2-aa/mlx/lib/libmlx.so', 'MLX itself'],
  ])('does not hold %s', (path, why) => {
    expect(problemsOf(packed(path), [])).toEqual([expect.stringContaining(`${path} is ${why}`)]);
  });

  it('holds types, and all that is needed', () => {
    const paths = ['dist/index.d.ts', 'README.md', '.env.example'];
    expect(problemsOf(packed(...paths), ['README.md'])).toEqual([]);
    expect(problemsOf(packed('dist/index.d.ts'), ['README.md'])).toEqual(['README.md is missing']);
  });

  it('has pages whose links lead to what is packed', () => {
    const page = readPage(
      'docs/a.md',
      '[b](b.md#x) [c](deploy/) [d](#own) [e](https://h.test/)\n[f](../bench/f.md)',
    );
    const paths = ['docs/a.md', 'docs/b.md', 'docs/deploy/stomp.toml'];
    expect(linksOutside([page], [...paths, 'bench/f.md'])).toEqual([]);
    expect(linksOutside([page], paths)).toEqual([
      'docs/a.md:2: the link ../bench/f.md leads to what is not packed',
    ]);
  });

  it('stays within its bounds', () => {
    expect(problemsOf({ ...packed(), size: bounds.packed, unpackedSize: bounds.unpacked }, [])).toEqual([]);
    const over = { ...packed(), size: bounds.packed + 1, unpackedSize: bounds.unpacked + 1 };
    expect(problemsOf(over, [])).toHaveLength(2);
  });
});

describe('what a library needs of its system', () => {
  const text = [
    ' 0x0000000000000001 (NEEDED)             Shared library: [libm.so.6]',
    ' 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]',
    '  0x0010:   Name: GLIBC_2.4  Flags: none  Version: 9',
    '  0x0020:   Name: GLIBC_2.34  Flags: none  Version: 8',
    '  0x0030:   Name: GLIBC_2.9  Flags: none  Version: 7',
    '  0x0040:   Name: GLIBCXX_3.4.30  Flags: none  Version: 6',
  ].join('\n');

  it('is the latest version of each family, by its numbers', () => {
    expect(parseNeeds(text)).toEqual({
      GLIBC: '2.34',
      GLIBCXX: '3.4.30',
      libraries: 'libm.so.6 libc.so.6',
    });
  });
});

/** A Mach-O file with these load commands. */
function machO(...commands: Buffer[]): Buffer {
  const header = Buffer.alloc(32);
  header.writeUInt32LE(0xfeedfacf, 0);
  header.writeUInt32LE(0x0100000c, 4);
  header.writeUInt32LE(6, 12);
  header.writeUInt32LE(commands.length, 16);
  return Buffer.concat([header, ...commands]);
}

function command(type: number, fields: number[], text = ''): Buffer {
  const size = 8 + fields.length * 4 + Math.ceil((text.length + 1) / 8) * 8;
  const bytes = Buffer.alloc(size);
  for (const [index, value] of [type, size, ...fields].entries()) bytes.writeUInt32LE(value, index * 4);
  bytes.write(text, 8 + fields.length * 4);
  return bytes;
}

describe('a Mach-O file', () => {
  const file = machO(
    command(0xc, [24, 0, 0, 0], '@rpath/libmlx.dylib'),
    command(0x8000001c, [12], '@loader_path/mlx/lib'),
    command(0x32, [1, 0x0f0000, 0x0f0000, 0]),
  );

  it('says for what it is, what it opens and where it looks', () => {
    expect(readMachO(file)).toEqual({
      cpu: 'arm64',
      kind: 'dynamic library',
      macos: '15.0',
      libraries: ['@rpath/libmlx.dylib'],
      rpaths: ['@loader_path/mlx/lib'],
    });
  });

  it('says what others have to bring, and who does', () => {
    const symbol = (name: number, type: number, library: number) => {
      const bytes = Buffer.alloc(16);
      bytes.writeUInt32LE(name, 0);
      bytes.set([type, 0, 0, library], 4);
      return bytes;
    };
    const load = (table: number) =>
      machO(command(0xc, [24, 0, 0, 0], '@rpath/libmlx.dylib'), command(0x2, [table, 3, table + 48, 24]));
    const { length } = load(0);
    const symbols = [symbol(0, 0x01, 1), symbol(6, 0x01, 0xfe), symbol(12, 0x0f, 0)];
    const all = Buffer.concat([load(length), ...symbols, Buffer.from('_mine\0_lost\0_here\0')]);
    expect(undefinedSymbols(all)).toEqual([
      { name: '_mine', library: '@rpath/libmlx.dylib' },
      { name: '_lost' },
    ]);
    expect(() => undefinedSymbols(all.subarray(0, length + 47))).toThrow('cut off');
    expect(undefinedSymbols(file)).toEqual([]);
  });

  it('is refused where it is none, or cut off', () => {
    expect(() => readMachO(Buffer.from('\x7fELF'))).toThrow('no Mach-O');
    for (let bytes = 32; bytes < file.length; bytes++)
      expect(() => readMachO(file.subarray(0, bytes))).toThrow('cut off');
  });
});

describe('the native parts', () => {
  it('have licences that are allowed, or are recorded exceptions', () => {
    expect(checkParts(nativeParts())).toMatchObject({ refused: [] });
    const [part] = nativeParts();
    const odd = { ...part, name: 'odd', license: 'GPL-3.0-or-later' } as never;
    expect(checkParts([odd]).refused).toEqual([expect.stringContaining('odd')]);
    const changed = { ...part, name: 'libgfortran', license: 'GPL-3.0-or-later' } as never;
    expect(checkParts([changed]).refused).toHaveLength(1);
  });

  it('stand in the bill of materials once, as dependencies of the package', () => {
    const own = 'stomp-serve@0.0.0';
    const sbom = withParts(
      {
        metadata: { component: { 'bom-ref': own, name: 'folder' } },
        components: [],
        dependencies: [{ ref: own, dependsOn: [] }],
      },
      nativeParts(),
    ) as {
      metadata: { component: { name: string } };
      components: { 'bom-ref': string }[];
      dependencies: { ref: string; dependsOn: string[] }[];
    };
    const refs = sbom.components.map((one) => one['bom-ref']);
    expect(new Set(refs).size).toBe(refs.length);
    expect(sbom.dependencies.find((one) => one.ref === own)?.dependsOn).toEqual(refs);
    expect(sbom.dependencies.map((one) => one.ref).sort()).toEqual([own, ...refs].sort());
    expect(sbom.metadata.component.name).toBe('stomp-serve');
    for (const name of ['mlx-c', 'SQLite', 'libstdc++'])
      expect(JSON.stringify(sbom.components)).toContain(`"name":"${name}"`);
  });
});
