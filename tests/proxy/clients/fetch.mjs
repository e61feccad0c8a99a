// fetch.mjs URL OUT [UPLOAD]: a CONNECT of our own, as Node has no proxy support to switch on.
import fs from "node:fs";
import http from "node:http";
import https from "node:https";

const [url, out, upload] = process.argv.slice(2);
const proxy = new URL(process.env.https_proxy);

function tunnel(host) {
  return new Promise((resolve, reject) => {
    const request = http.request({
      host: proxy.hostname,
      port: proxy.port,
      method: "CONNECT",
      path: `${host}:443`,
      headers: { Host: `${host}:443` },
    });
    request.on("connect", (answer, socket) => {
      if (answer.statusCode === 200) resolve(socket);
      else reject(new Error(`CONNECT ${host}: ${answer.statusCode} ${answer.statusMessage}`));
    });
    request.on("error", reject);
    request.end();
  });
}

async function fetch(url) {
  const { hostname } = new URL(url);
  const socket = await tunnel(hostname);
  return new Promise((resolve, reject) => {
    const method = upload ? "PUT" : "GET";
    const request = https.request(url, { socket, method, agent: false }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => {
        if (answer.statusCode === 307) resolve(fetch(answer.headers.location));
        else if (answer.statusCode === 200) resolve(Buffer.concat(chunks));
        else reject(new Error(`${url}: ${answer.statusCode}`));
      });
    });
    request.on("error", reject);
    request.end(upload && fs.readFileSync(upload));
  });
}

fs.writeFileSync(out, await fetch(url));
process.exit(0);
