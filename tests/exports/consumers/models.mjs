// Holds Kubernetes objects to the classes of @kubernetes-models: models.mjs FOLDER-OF-MODULES. For each line on stdin,
// a JSON list of objects, it prints what is wrong with them, as a JSON list: empty if all is well.
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [folder] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(join(folder, "@kubernetes-models", path)));
const modules = {
  "cilium.io/v2": "cilium/cilium.io/v2/index.js",
  "networking.istio.io/v1": "istio/networking.istio.io/v1/index.js",
};

async function complaint(object) {
  const path = modules[object.apiVersion];
  if (path === undefined) return `no module for ${object.apiVersion}`;
  const { [object.kind]: Model } = await load(path);
  if (Model === undefined) return `no ${object.kind}`;
  try {
    new Model(object).validate();
  } catch (error) {
    return error.message;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const complaints = await Promise.all(JSON.parse(line).map(complaint));
  console.log(JSON.stringify(complaints.filter((said) => said !== undefined)));
}
