// Bundles the extension into one file: dist/extension.js. `--production` minifies and fails past the size we promise.
import { build } from "esbuild";
import { statSync } from "node:fs";

const LIMIT_BYTES = 300_000;
const production = process.argv.includes("--production");

await build({
  entryPoints: ["src/extension.ts"],
  outfile: "dist/extension.js",
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node24",
  external: ["vscode"],
  minify: production,
  sourcemap: production ? false : "inline",
  logLevel: "warning",
});

const size = statSync("dist/extension.js").size;
if (production && size > LIMIT_BYTES) {
  console.error(`dist/extension.js is ${size} bytes, more than ${LIMIT_BYTES}: find out which import made it grow`);
  process.exit(1);
}
