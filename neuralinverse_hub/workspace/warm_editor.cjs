// node warm_editor.cjs ENTRY: code-server that has loaded everything and waits for its person.
//
// ENTRY is code-server's out/node/entry.js. Prints "loaded" on standard output, then waits for one line on standard input: a
// JSON object with `environment`, which replaces its own, `folder`, and `arguments` for code-server. End of input without a
// line ends it with 0.
//
// What entry.js does besides is not wanted here: it starts the same program once more and restarts it when it dies, which is
// the agent's business, and it looks for a configuration file of the person's, which could change the address.
"use strict";

const path = require("path");
const readline = require("readline");
const { pathToFileURL } = require("url");

const entry = process.argv[2];
const part = (name) => require(path.join(path.dirname(entry), name));

async function load() {
    const main = part("main.js");
    const cli = part("cli.js");
    // Its part of VS Code runs as a program of its own unless this is set.
    process.env.CODE_SERVER_PARENT_PID = String(process.pid);
    const server = await import(pathToFileURL(path.join(part("constants.js").vsRootPath, "out", "server-main.js")).href);
    await server.loadCodeWithNls();
    return async (args) => main.runCodeServer(await cli.setDefaults(cli.parse(args)));
}

async function firstLine(input) {
    for await (const line of readline.createInterface({ input })) return line;
    return null;
}

async function main() {
    const run = await load();
    process.stdout.write("loaded\n");
    const line = await firstLine(process.stdin);
    if (line === null) process.exit(0);
    const given = JSON.parse(line);
    for (const name of Object.keys(process.env)) delete process.env[name];
    Object.assign(process.env, given.environment, { CODE_SERVER_PARENT_PID: String(process.pid) });
    process.chdir(given.folder);
    process.argv.splice(1, process.argv.length, entry, ...given.arguments);
    await run(given.arguments);
}

main().catch((error) => {
    console.error(`code-server could not be started ahead: ${error.stack || error}`);
    process.exit(1);
});
