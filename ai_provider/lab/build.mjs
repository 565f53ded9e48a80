// Builds the prebuilt Lab extension: node build.mjs [folder]. Node >= 22.13 is all it needs: types are stripped, nothing is
// bundled, because every module the plugin uses is the Lab's own. The folder goes on JUPYTER_PATH.

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const target = join(resolve(process.argv[2] ?? join(here, 'share')), 'labextensions', '@neuralinverse', 'lab');
const { name, version, description, license } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));
const built = ['remoteEntry', 'plugin'].map((file) => [
  file,
  stripTypeScriptTypes(readFileSync(join(here, 'src', `${file}.ts`), 'utf8')),
]);
// The Lab tells browsers to keep these files for ever, so their names change with their content.
const hash = createHash('sha256')
  .update(built.map(([, code]) => code).join('\0'))
  .digest('hex')
  .slice(0, 20);

const fresh = `${target}.${process.pid}`;
mkdirSync(join(fresh, 'static'), { recursive: true });
for (const [file, code] of built) {
  writeFileSync(join(fresh, 'static', `${file}.${hash}.js`), code);
}
const jupyterlab = { extension: true, _build: { load: `static/remoteEntry.${hash}.js`, extension: './extension' } };
writeFileSync(join(fresh, 'package.json'), JSON.stringify({ name, version, description, license, jupyterlab }, null, 2) + '\n');
rmSync(target, { recursive: true, force: true });
renameSync(fresh, target);
