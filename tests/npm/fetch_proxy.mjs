// A proxy in front of a control plane that misbehaves on demand, for the fetch of updates. It speaks HTTP/1.1, or with --tls
// HTTP/2 and HTTP/1.1 over TLS, and counts what it saw; the counts are at /__counts.
// usage: node fetch_proxy.mjs --target http://127.0.0.1:PORT --port-file FILE [--tls FOLDER with key.pem and cert.pem]
//        [--delay MS] for each request, [--cut N] every Nth blob breaks off in its middle, [--stall N] the Nth blob stops in
//        its middle, [--spoil] a wrong byte in each blob, [--h1] no HTTP/2
import fs from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    target: { type: "string" },
    "port-file": { type: "string" },
    tls: { type: "string" },
    delay: { type: "string", default: "0" },
    cut: { type: "string", default: "0" },
    stall: { type: "string", default: "0" },
    spoil: { type: "boolean", default: false },
    h1: { type: "boolean", default: false },
  },
});
const target = new URL(options.target);
const agent = new http.Agent({ keepAlive: true });
const counts = { connections: 0, h1: 0, h2: 0, blobs: 0, ranges: 0, bytes: 0, most_at_once: 0, cuts: 0, stalled: 0 };
let at_once = 0;

function cut(answer) {
  counts.cuts++;
  if (answer.stream) answer.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
  else answer.socket.destroy();
}

function send(request, answer, status, headers, body) {
  const is_blob = request.url.includes("/sha256/");
  let size = body.length;
  if (is_blob) {
    counts.blobs++;
    if (request.headers.range) counts.ranges++;
    if (options.spoil && body.length) body[size >> 1] ^= 1;
    const every = Number(options.cut);
    const broken = every && counts.blobs % every === 0;
    const stalls = Number(options.stall) === counts.blobs;
    if (broken || stalls) size >>= 1;
    answer.writeHead(status, headers);
    answer.write(body.subarray(0, size), () => {
      if (broken) cut(answer);
      if (stalls) counts.stalled++;
      if (!broken && !stalls) answer.end();
    });
    counts.bytes += size;
  } else {
    answer.writeHead(status, headers);
    answer.end(body);
  }
}

function on_request(request, answer) {
  if (request.url === "/__counts") {
    answer.writeHead(200, { "content-type": "application/json" });
    answer.end(JSON.stringify(counts));
    return;
  }
  counts[request.httpVersionMajor === 2 ? "h2" : "h1"]++;
  at_once++;
  counts.most_at_once = Math.max(counts.most_at_once, at_once);
  let over = false;
  const end = () => {
    if (!over) at_once--;
    over = true;
  };
  answer.on("close", end);
  const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !name.startsWith(":") && name !== "host"));
  const behind = http.request(
    { host: target.hostname, port: target.port, path: request.url, method: request.method, headers, agent },
    (from) => {
      const parts = [];
      from.on("data", (part) => parts.push(part));
      from.on("end", () => {
        const kept = Object.fromEntries(
          Object.entries(from.headers).filter(([name]) => !["connection", "keep-alive", "transfer-encoding"].includes(name)),
        );
        setTimeout(() => send(request, answer, from.statusCode, kept, Buffer.concat(parts)), Number(options.delay));
      });
    },
  );
  behind.on("error", () => answer.destroy?.());
  request.pipe(behind);
}

const pair = options.tls && {
  key: fs.readFileSync(`${options.tls}/key.pem`),
  cert: fs.readFileSync(`${options.tls}/cert.pem`),
};
const server = !options.tls
  ? http.createServer(on_request)
  : options.h1
    ? https.createServer(pair, on_request)
    : http2.createSecureServer({ ...pair, allowHTTP1: true }, on_request);
server.on(options.tls ? "secureConnection" : "connection", () => counts.connections++);
server.listen(0, "127.0.0.1", () => fs.writeFileSync(options["port-file"], String(server.address().port)));
