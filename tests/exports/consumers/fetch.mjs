// Asks for each URL with a library: fetch.mjs FOLDER-OF-MODULES LIBRARY URL…. That it gets no answer is no failure.
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, library, ...urls] = process.argv.slice(2);
const require = createRequire(join(folder, "package.json"));
const libraries = {
  fetch: () => fetch,
  undici: () => {
    const undici = require("undici");
    const dispatcher = new undici.EnvHttpProxyAgent();
    return (url) => undici.fetch(url, { dispatcher });
  },
  axios: () => {
    const axios = require("axios");
    return (url) => axios.get(url);
  },
};
const ask = libraries[library]();
for (const url of urls) {
  const signal = AbortSignal.timeout(15_000);
  await Promise.race([
    ask(url).catch(() => {}),
    new Promise((resolve) => signal.addEventListener("abort", resolve)),
  ]);
}
process.exit();
