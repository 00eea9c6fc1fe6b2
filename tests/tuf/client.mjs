// The program under test: each call is one process, in folders of its own. What must hold behind every call whatever the repository
// did is checked here: the exit status is 0 or 1, no sanitizer spoke, only GET was asked, the metadata folder holds nothing but
// documents exactly as they were served, and the target folder nothing but targets that the test has named.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hash } from "./keys.mjs";

function runProcess(command, args, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env });
    let out = "", err = "";
    child.stdout.on("data", (data) => { out += data; });
    child.stderr.on("data", (data) => { err += data; });
    child.on("error", reject);
    child.on("close", (status, signal) => resolve({ status, signal, out, err }));
  });
}

/** A moment for faketime, in whole seconds from now. */
const moment = (seconds) => new Date(Date.now() + seconds * 1000).toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");

export class Client {
  constructor({ program, folder, repository, url, root = repository.files.get("metadata/1.root.json") }) {
    Object.assign(this, { program, folder, repository, url, firstRoot: root, lastError: "" });
    this.metadataFolder = join(folder, "metadata");
    this.targetFolder = join(folder, "targets");
    mkdirSync(this.metadataFolder, { recursive: true });
    mkdirSync(this.targetFolder);
    this.allowed = new Set(); // targets that may be in the folder
  }

  async #run(args, { at, date } = {}) {
    let command = this.program, rest = args;
    const env = { ...process.env };
    if (at !== undefined || date !== undefined) {
      command = "faketime";
      rest = [date ?? moment(at), this.program, ...args];
      // The sanitizer's library is not the first one then, which is as it should be.
      env.ASAN_OPTIONS = `${env.ASAN_OPTIONS ? `${env.ASAN_OPTIONS}:` : ""}verify_asan_link_order=0`;
    }
    const { status, signal, err } = await runProcess(command, rest, env);
    this.lastError = err;
    assert.equal(signal, null, `killed: ${err}`);
    assert.ok(status === 0 || status === 1, `exit status ${status}: ${err}`);
    assert.doesNotMatch(err, /Sanitizer|runtime error:/);
    this.#checkFolders();
    return status === 0;
  }

  async init(root = this.firstRoot) {
    const file = join(this.folder, "first.json");
    writeFileSync(file, root);
    this.firstRoot = root;
    const before = this.repository?.requests.length ?? 0;
    const ok = await this.#run(["--metadata-dir", this.metadataFolder, "init", file]);
    assert.equal(this.repository?.requests.length ?? 0, before, "init asked for something");
    return ok;
  }

  refresh(when) {
    return this.#run(["--metadata-url", `${this.url}metadata/`, "--metadata-dir", this.metadataFolder, "refresh"], when);
  }

  download(names, when) {
    const wanted = (Array.isArray(names) ? names : [names]).flatMap((name) => ["--target-name", name]);
    return this.#run(["--metadata-url", `${this.url}metadata/`, "--metadata-dir", this.metadataFolder, ...wanted,
      "--target-dir", this.targetFolder, "--target-base-url", `${this.url}targets/`, "download"], when);
  }

  #checkFolders() {
    for (const name of readdirSync(this.metadataFolder)) {
      assert.ok(name.endsWith(".json"), `${name} in the metadata folder`);
      const bytes = readFileSync(join(this.metadataFolder, name));
      const parsed = JSON.parse(bytes);
      assert.ok(parsed.signed && Array.isArray(parsed.signatures), `${name} is no metadata`);
      if (this.repository === undefined || bytes.equals(this.firstRoot)) continue;
      assert.ok(this.repository.answers.has(hash(bytes)), `${name} is not as it was served`);
    }
    if (this.repository === undefined) return;
    for (const method of this.repository.methods) assert.equal(method, "GET");
    for (const data of this.targets()) assert.ok(this.allowed.has(data), "a target that nobody may have");
  }

  /** Takes a file away from the metadata folder, as a device that lost it. */
  lose(role) { rmSync(join(this.metadataFolder, `${role}.json`)); }

  /** The bytes that are trusted of a top-level role; undefined when none are. */
  trustedBytes(role) {
    const path = join(this.metadataFolder, `${role}.json`);
    return existsSync(path) ? readFileSync(path) : undefined;
  }

  /** What is trusted: "root 1, snapshot 2", by name. */
  trusted() {
    return readdirSync(this.metadataFolder).map((name) => {
      const { signed } = JSON.parse(readFileSync(join(this.metadataFolder, name)));
      return `${decodeURIComponent(name.replace(/\.json$/, ""))} ${signed.version}`;
    }).sort().join(", ");
  }

  /** The contents of the target folder, in any depth, by file name. */
  targets(folder = this.targetFolder) {
    return readdirSync(folder).sort().flatMap((name) => {
      const path = join(folder, name);
      return statSync(path).isDirectory() ? this.targets(path) : [readFileSync(path, "utf8")];
    });
  }
}
