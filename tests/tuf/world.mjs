// One web server for all scenarios, at a port that the system chooses, and what a scenario needs of it: repositories and clients.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "./client.mjs";
import { Repository } from "./repository.mjs";

export class Server {
  #repositories = new Map();
  #count = 0;

  async start() {
    this.http = createServer((request, response) => {
      const [, name, path] = /^\/([^/]*)\/(.*)$/.exec(request.url) ?? [];
      const bytes = this.#repositories.get(name)?.answer(request.method, path);
      response.writeHead(bytes === undefined ? 404 : 200, { "Content-Length": bytes?.length ?? 0 });
      response.end(bytes);
    });
    await new Promise((resolve) => this.http.listen(0, "127.0.0.1", resolve));
    return this;
  }

  /** The address of a repository, or of anything that has its answer(). The name in it needs quoting, as any name may. */
  serve(repository) {
    const name = `r%20${this.#count++}%3F`;
    this.#repositories.set(name, repository);
    return `http://127.0.0.1:${this.http.address().port}/${name}/`;
  }

  stop() {
    this.http.close();
    this.http.closeAllConnections?.();
  }
}

/** What one scenario works with; dropped behind it. */
export class World {
  constructor(server, program) {
    this.server = server;
    this.program = program;
    this.folder = mkdtempSync(join(tmpdir(), "tuf-"));
    this.clientCount = 0;
  }

  repository(options) { return new Repository(options); }

  /** A client of a repository; unless told otherwise with the repository's first root as its own. */
  client(repository, options = {}) {
    return new Client({ program: this.program, folder: join(this.folder, String(this.clientCount++)), repository,
      url: this.server.serve(repository), ...options });
  }

  /** A client that has its first root. */
  async ready(repository, options) {
    const client = this.client(repository, options);
    assert.ok(await client.init(), client.lastError);
    return client;
  }

  drop() { rmSync(this.folder, { recursive: true, force: true }); }
}

/** The call succeeded or failed as it must; what the program said is in the message. */
export async function succeeds(client, call) { assert.equal(await call, true, client.lastError); }
export async function fails(client, call) { assert.equal(await call, false, "it succeeded"); }
