/** What the pages and the files of docs/deploy say, against the sources and the programs that read them. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse as parseToml } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { parseArguments } from '../../../ts/config/arguments.js';
import { resolveSettings } from '../../../ts/config/resolve.js';
import { StompError, stompErrorCodes } from '../../../ts/errors.js';

const root = join(import.meta.dirname, '../../..');
const text = (path: string) => readFileSync(join(root, path), 'utf8');
const deploy = join(root, 'docs/deploy');

describe('docs/troubleshooting.md', () => {
  const rows = [
    ...text('docs/troubleshooting.md').matchAll(/^\| `([A-Z_]+)` \| (\d+) \| (.+) \| (.+) \|$/gm),
  ];

  it('has each error code once, with its status, a cause and a remedy', () => {
    expect(rows.map(([, code]) => code).sort()).toEqual([...stompErrorCodes].sort());
    const wrong = rows.filter(
      ([, code, status]) => new StompError(code as never, '').status !== Number(status),
    );
    expect(wrong.map(([row]) => row)).toEqual([]);
  });
});

describe('docs/deploy', () => {
  it('has a command line in the unit that the command takes', () => {
    const line = /^ExecStart=\/usr\/bin\/env stomp-serve serve (.*)$/m.exec(
      text('docs/deploy/stomp-serve.service'),
    )?.[1];
    const { flags } = parseArguments((line ?? '').split(' '), 'serve');
    expect([...flags.keys()]).toEqual(['config', 'cache-dir', 'database']);
  });

  it('names folders for agents that the steps of the page make', () => {
    const { guard } = parseToml(text('docs/deploy/stomp.toml')) as { guard: { roots: string } };
    const steps = /```sh\n(sudo npm install[\s\S]*?)```/.exec(text('docs/deployment.md'))?.[1] ?? '';
    expect(steps).toMatch(new RegExp(`^sudo install -d -o stomp -g stomp ${guard.roots}( |$)`, 'm'));
  });

  it('has settings that the server takes', () => {
    const flags = new Map([['config', join(deploy, 'stomp.toml')]]);
    const { settings } = resolveSettings({
      command: 'serve',
      flags,
      env: {},
      cwd: '/nowhere',
      packageRoot: '/nowhere',
    });
    expect(settings).toMatchObject({
      allowedHosts: 'agents.example',
      roots: '/srv/work',
      rateLimitPerKey: 600,
    });
    expect(Object.keys(parseToml(text('docs/deploy/stomp.toml')))).toEqual([
      'engine',
      'server',
      'cache',
      'guard',
    ]);
  });

  const reads = (program: string, ...args: string[]) => {
    const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: deploy, encoding: 'utf8' });
    if (error) throw error;
    expect(`${status} ${stderr}${stdout}`).toMatch(/^0 /);
  };
  const without = (program: string, flag = '--version') => spawnSync(program, [flag]).error !== undefined;

  it.skipIf(without('systemd-analyze'))('has a unit that systemd reads without a word', () => {
    const { stderr, status } = spawnSync('systemd-analyze', ['verify', join(deploy, 'stomp-serve.service')], {
      encoding: 'utf8',
    });
    expect([status, stderr.split('\n').filter((line) => line.includes('stomp-serve'))]).toEqual([0, []]);
  });

  it.skipIf(without('python3'))('has a property list that is one', () => {
    const script =
      'import plistlib, sys; assert plistlib.load(open(sys.argv[1], "rb"))["Label"] + ".plist" == sys.argv[1]';
    reads('python3', '-c', script, 'com.stomp-serve.server.plist');
  });

  it.skipIf(without('promtool'))('has rules and a configuration that Prometheus takes', () => {
    reads('promtool', 'check', 'rules', 'alerts.yml');
    const folder = mkdtempSync(join(tmpdir(), 'stomp-prometheus-'));
    cpSync(deploy, folder, { recursive: true });
    writeFileSync(join(folder, 'stomp-serve.key'), 'key');
    reads('promtool', 'check', 'config', join(folder, 'prometheus.yml'));
    rmSync(folder, { recursive: true });
  });

  it.skipIf(without('caddy'))('has a file that Caddy takes', () => {
    reads('caddy', 'validate', '--adapter', 'caddyfile', '--config', 'Caddyfile');
  });

  it.skipIf(without('nginx', '-v') || without('openssl', 'version'))('has a site that nginx takes', () => {
    const folder = mkdtempSync(join(tmpdir(), 'stomp-nginx-'));
    const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
    const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=agents.example'];
    reads('openssl', ...request, '-keyout', key, '-out', certificate);
    const site = text('docs/deploy/nginx.conf')
      .replace('/etc/ssl/agents.example.pem', certificate)
      .replace('/etc/ssl/agents.example.key', key)
      .replace('listen 443', `listen unix:${join(folder, 'socket')}`);
    writeFileSync(join(folder, 'nginx.conf'), `pid ${folder}/pid;\nevents {}\nhttp {\n${site}}\n`);
    reads('nginx', '-t', '-e', join(folder, 'error.log'), '-c', join(folder, 'nginx.conf'));
    rmSync(folder, { recursive: true });
  });
});
