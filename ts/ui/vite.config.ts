/** How the dashboard is built: plain files below `/ui/`, which load nothing from anywhere else. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

export default defineConfig({
  root: import.meta.dirname,
  base: '/ui/',
  publicDir: false,
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: fileURLToPath(new URL('../../dist/ui', import.meta.url)),
    emptyOutDir: true,
    target: ['chrome123', 'firefox128', 'safari17.5'],
    // Its helper would be a script within the page, which the content security policy forbids.
    modulePreload: { polyfill: false },
    // Icons in the style sheet would become data addresses, which only images may be.
    assetsInlineLimit: 0,
    // Of what is built in: their licences ask for that.
    license: { fileName: 'licenses.md' },
  },
});
