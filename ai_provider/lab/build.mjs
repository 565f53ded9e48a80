// Builds the prebuilt Lab extension: node build.mjs [folder]. Node >= 22.13 is all it needs: types are stripped, nothing is
// bundled, because every module the plugin uses is the Lab's own. Without a folder it goes beside this file, where our server
// extension finds it; any other folder goes on JUPYTER_PATH. What is up to date already is left as it is.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
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

const jupyterlab = { extension: true, _build: { load: `static/remoteEntry.${hash}.js`, extension: './extension' } };
const manifest = JSON.stringify({ name, version, description, license, jupyterlab }, null, 2) + '\n';

if (!existsSync(join(target, 'package.json')) || readFileSync(join(target, 'package.json'), 'utf8') !== manifest) {
  const fresh = `${target}.${process.pid}`;
  mkdirSync(join(fresh, 'static'), { recursive: true });
  for (const [file, code] of built) {
    writeFileSync(join(fresh, 'static', `${file}.${hash}.js`), code);
  }
  writeFileSync(join(fresh, 'package.json'), manifest);
  rmSync(target, { recursive: true, force: true });
  renameSync(fresh, target);
}
