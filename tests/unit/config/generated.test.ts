/** Texts that are made from the schema. `npx vitest run --project unit -u` writes the files anew. */
import { join } from 'node:path';
import fc from 'fast-check';
import { parse } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { optionsHelp } from '../../../ts/config/help.js';
import { nearestName } from '../../../ts/config/nearest.js';
import { defaultToml, environmentExample, settingsReference } from '../../../ts/config/reference.js';
import { resolveSettings } from '../../../ts/config/resolve.js';
import { environmentName, SETTINGS, type Setting, settingKey } from '../../../ts/config/schema.js';

const root = join(import.meta.dirname, '../../..');
const settings = SETTINGS as readonly Setting[];

describe('the schema', () => {
  it('names nothing twice', () => {
    expect(new Set(settings.map((setting) => setting.name)).size).toBe(settings.length);
    expect(new Set(settings.map((setting) => setting.toml)).size).toBe(settings.length);
  });

  it('has defaults that it accepts and does not refuse', () => {
    const { settings: values, origins } = resolveSettings({
      command: 'serve',
      env: {},
      cwd: root,
      packageRoot: '/nowhere',
    });
    expect(Object.keys(values)).toEqual(settings.map((setting) => settingKey(setting.name)));
    expect(new Set(Object.values(origins))).toEqual(new Set(['default']));
  });
});

describe('made from the schema', () => {
  it('config/default.toml says the defaults', async () => {
    await expect(defaultToml()).toMatchFileSnapshot(join(root, 'config/default.toml'));
    const without = resolveSettings({ command: 'serve', env: {}, cwd: '/nowhere', packageRoot: '/nowhere' });
    const withFile = resolveSettings({ command: 'serve', env: {}, cwd: '/nowhere', packageRoot: root });
    expect(withFile.settings).toEqual(without.settings);
  });

  it('config/test.toml is a valid layer', () => {
    const { settings: values } = resolveSettings({
      command: 'serve',
      env: { STOMP_ENV: 'test' },
      cwd: '/nowhere',
      packageRoot: root,
    });
    expect(values).toMatchObject({ port: 0, logLevel: 'warn' });
  });

  it('.env.example names every variable', async () => {
    await expect(environmentExample()).toMatchFileSnapshot(join(root, '.env.example'));
    const text = environmentExample();
    for (const setting of settings) expect(text).toContain(`# ${environmentName(setting.name)}=`);
  });

  it('the reference and the help have a line for each setting', () => {
    const reference = settingsReference();
    const help = optionsHelp('serve');
    for (const setting of settings) {
      expect(reference).toContain(`| \`--${setting.name}\` | \`${environmentName(setting.name)}\``);
      if (setting.commands.includes('serve')) expect(help).toContain(`--${setting.name}`);
    }
    expect(help.split('\n').every((line) => line.length <= 100)).toBe(true);
    expect(optionsHelp('perplexity')).not.toContain('--port');
  });

  it('every written key parses as TOML', () => {
    expect(Object.keys(parse(defaultToml()))).toEqual([
      'engine',
      'cache',
      'server',
      'log',
      'storage',
      'guard',
      'context',
      'reservations',
      'clutch',
      'keys',
      'doctor',
      'locks',
      'stress',
    ]);
  });
});

describe('nearestName', () => {
  it('finds a name after one slip of any kind', () => {
    const names = settings.map((setting) => setting.name);
    fc.assert(
      fc.property(
        fc.constantFrom(...names),
        fc.nat(),
        fc.constantFrom('drop', 'double', 'swap'),
        (name, at, slip) => {
          const i = at % (name.length - 1);
          const [a = '', b = ''] = [name[i], name[i + 1]];
          const middle = { drop: b, double: a + a + b, swap: b + a }[slip];
          const typed = name.slice(0, i) + middle + name.slice(i + 2);
          const found = nearestName(typed, names);
          return found === name || found === typed;
        },
      ),
    );
  });

  it('finds a name by its beginning', () => {
    expect(nearestName('lease_ttl', ['scope', 'lease_ttl_sec'])).toBe('lease_ttl_sec');
    expect(nearestName('l', ['lease_ttl_sec'])).toBeUndefined();
  });

  it('guesses nothing for something else', () => {
    expect(nearestName('zebra', ['port', 'host'])).toBeUndefined();
    expect(nearestName('x'.repeat(100_000), ['port'])).toBeUndefined();
  });
});
