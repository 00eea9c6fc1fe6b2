// Repositories that were made once and lie on disk: ours beside this file, and public ones where the machine has copies of them
// ($COVEY_SHARED/data/tuf/NAME, with the same files). A folder: metadata/, targets/, target (a path in it), date (where it expired).
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { scenario } from "../scenarios.mjs";
import { fails, succeeds } from "../world.mjs";

/** Answers with files of a folder, whose names are percent-encoded as in the URL. */
class Folder {
  constructor(path) {
    Object.assign(this, { path, requests: [], methods: new Set() });
  }

  answer(method, path) {
    this.methods.add(method);
    this.requests.push(path);
    const file = join(this.path, path);
    return !path.includes("..") && existsSync(file) && statSync(file).isFile() ? readFileSync(file) : undefined;
  }
}

const ours = join(dirname(fileURLToPath(import.meta.url)), "..", "static");
const theirs = join(process.env.COVEY_SHARED ?? "/nonexistent", "data", "tuf");
const foldersOf = (parent) => (existsSync(parent) ? readdirSync(parent) : []).map((name) => join(parent, name))
  .filter((path) => statSync(path).isDirectory());

for (const path of [...foldersOf(ours), ...foldersOf(theirs)]) {
  const date = existsSync(join(path, "date")) ? readFileSync(join(path, "date"), "utf8").trim() : undefined;
  const target = readFileSync(join(path, "target"), "utf8").trim();
  scenario("static repositories", path.split("/").at(-1), async (world) => {
    const folder = new Folder(path);
    const first = ["initial_root.json", "metadata/1.root.json"].map((name) => join(path, name)).find(existsSync);
    const client = world.client(undefined, { root: readFileSync(first), url: world.server.serve(folder) });
    assert.ok(await client.init(), client.lastError);
    await succeeds(client, client.refresh({ date }));
    assert.ok(folder.requests.every((one) => one.startsWith("metadata/")));
    await succeeds(client, client.download(target, { date }));
    assert.equal(client.targets().length, 1);
    assert.deepEqual([...folder.methods], ["GET"]);
    for (const role of ["timestamp", "snapshot", "targets"]) {
      const name = folder.requests.findLast((one) => one.endsWith(`${role}.json`));
      assert.deepEqual(client.trustedBytes(role), readFileSync(join(path, name)));
    }
    await fails(client, client.download(`${target}.absent`, { date }));
    if (date !== undefined) await fails(client, client.refresh());
  }, date === undefined ? undefined : "faketime");
}
