// Asks pac-resolver what a PAC file says of each host: node pac.mjs NODE_MODULES FILE HOST…
//
// Prints a line per host: what a client of the file would use.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, file, ...hosts] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const load = async (name) => import(pathToFileURL(require.resolve(name)));
const { createPacResolver } = await load("pac-resolver");
const { QuickJS } = await load("quickjs-wasi");

const findProxy = createPacResolver(await QuickJS.create(), readFileSync(file, "utf8"));
for (const host of hosts) {
  console.log(await findProxy(`https://${host}/v2/`, host));
}
