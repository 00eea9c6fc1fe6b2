// A repository of The Update Framework in memory, whose owner does what a test says, right or wrong: it publishes documents as files
// by the names of the specification (6.2 with consistent snapshots, 6.1 without), and notes what it was asked and what it answered.
import { Key, canonical, hash } from "./keys.mjs";

export const day = 86400;
export const topRoles = ["root", "timestamp", "snapshot", "targets"];

/** A date of metadata, `seconds` from now. */
export const inSeconds = (seconds) => new Date(Date.now() + seconds * 1000).toISOString().replace(/\.\d+Z$/, "Z");
export const inDays = (days) => inSeconds(days * day);

/** One segment of a URL. */
export const quote = (name) => encodeURIComponent(name).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

export class Repository {
  /** `keyType`: of the keys that newKey makes. `label` sets them apart from other repositories' keys. */
  constructor({ keyType = "ed25519", label = "repository", consistent = true } = {}) {
    Object.assign(this, { keyType, label, keyCount: 0, withHashes: false, hashPrefix: true, pretty: true });
    this.files = new Map(); // path below the repository, as a URL has it: bytes
    this.versions = new Map(); // role: every version that was published, the newest last
    this.requests = []; // of metadata: paths below metadata/
    this.targetRequests = [];
    this.methods = new Set();
    this.answers = new Set(); // of metadata: bodies in hexadecimal digests
    this.signers = Object.fromEntries(topRoles.map((role) => [role, []]));
    const common = (type, rest) => ({ _type: type, spec_version: "1.0.31", version: 1, expires: inDays(30), ...rest });
    this.documents = {
      root: common("root", { consistent_snapshot: consistent, keys: {}, roles: {} }),
      timestamp: common("timestamp", { meta: { "snapshot.json": { version: 1 } } }),
      snapshot: common("snapshot", { meta: { "targets.json": { version: 1 } } }),
      targets: common("targets", { targets: {} }),
    };
    for (const role of topRoles) {
      this.root.roles[role] = { keyids: [], threshold: 1 };
      this.addKey(role);
    }
    this.publish("targets", "snapshot", "timestamp", "root");
  }

  get root() { return this.documents.root; }
  get timestamp() { return this.documents.timestamp; }
  get snapshot() { return this.documents.snapshot; }
  get targets() { return this.documents.targets; }

  newKey(type = this.keyType, extra = {}) {
    return new Key(type, `${this.label} ${this.keyCount++}`, extra);
  }

  /** Who says which keys a role has: the root, or a role with a delegation to it. */
  #delegation(role, delegator) {
    if (topRoles.includes(role)) return { keys: this.root.keys, entry: this.root.roles[role] };
    const { delegations } = this.documents[delegator];
    return { keys: delegations.keys, entry: delegations.roles.find((one) => one.name === role) ?? delegations.succinct_roles };
  }

  /** Lets a key speak for a role, and sign for it from now on. */
  addKey(role, key = this.newKey(), delegator = "targets") {
    const { keys, entry } = this.#delegation(role, delegator);
    keys[key.id] = key.public;
    if (!entry.keyids.includes(key.id)) entry.keyids.push(key.id);
    if (!this.signers[role].includes(key)) this.signers[role].push(key);
    return key;
  }

  /** Exactly these keys speak for a role, and these sign for it. */
  setKeys(role, keys, threshold, signers = keys) {
    const { keys: known, entry } = this.#delegation(role);
    for (const key of keys) known[key.id] = key.public;
    entry.keyids = keys.map((key) => key.id);
    entry.threshold = threshold;
    this.signers[role] = [...signers];
  }

  rotate(role) {
    this.setKeys(role, Array.from({ length: this.root.roles[role].threshold }, () => this.newKey()), this.root.roles[role].threshold);
  }

  /** A delegation to a role, behind those that are there; its document is made unless it is there. */
  delegate(delegator, name, { paths = ["*"], prefixes, terminating = false, threshold = 1, expires = inDays(30) } = {}) {
    const parent = this.documents[delegator];
    parent.delegations ??= { keys: {}, roles: [] };
    const speaksFor = prefixes === undefined ? { paths } : { path_hash_prefixes: prefixes };
    parent.delegations.roles.push({ name, keyids: [], threshold, terminating, ...speaksFor });
    this.documents[name] ??= { _type: "targets", spec_version: "1.0.31", version: 1, expires, targets: {} };
    this.signers[name] ??= [];
    this.addKey(name, this.newKey(), delegator);
  }

  /** The bytes of a document as it stands, signed. */
  sign(role, signers = this.signers[role]) {
    const signed = this.documents[role];
    const bytes = Buffer.from(canonical(signed));
    return this.envelope(signed, signers.map((key) => ({ keyid: key.id, sig: key.sign(bytes) })));
  }

  envelope(signed, signatures) {
    return Buffer.from(`${JSON.stringify({ signatures, signed }, null, this.pretty ? 1 : 0)}\n`);
  }

  pathOf(role, version) {
    const versioned = role === "root" || (role !== "timestamp" && this.root.consistent_snapshot);
    return `metadata/${versioned ? `${version}.` : ""}${quote(role)}.json`;
  }

  metaOf(role, bytes) {
    const { version } = this.documents[role];
    return this.withHashes ? { version, length: bytes.length, hashes: { sha256: hash(bytes) } } : { version };
  }

  /** Signs and serves roles, each with the next version unless it is its first, and names them where they belong. */
  publish(...roles) {
    for (const role of roles) {
      if (this.versions.has(role)) this.documents[role].version++;
      this.replace(role, this.sign(role));
      const bytes = this.newest(role);
      if (role === "snapshot") this.timestamp.meta["snapshot.json"] = this.metaOf(role, bytes);
      else if (role !== "root" && role !== "timestamp") this.snapshot.meta[`${role}.json`] = this.metaOf(role, bytes);
    }
  }

  /** Serves these bytes as the present version of a role. */
  replace(role, bytes) {
    this.files.set(this.pathOf(role, this.documents[role].version), bytes);
    if (!this.versions.has(role)) this.versions.set(role, []);
    this.versions.get(role).push(bytes);
  }

  /** Forgets what was published of a role: the next publication is of the version that the document then has. */
  forget(role) {
    for (const path of [...this.files.keys()]) {
      if (path.replace(/^metadata\/(\d+\.)?/, "") === `${quote(role)}.json`) this.files.delete(path);
    }
    this.versions.delete(role);
  }

  newest(role) { return this.versions.get(role).at(-1); }

  /** A target, described by a role and served. */
  addTarget(role, path, data, algorithms = ["sha256"]) {
    const hashes = Object.fromEntries(algorithms.map((one) => [one, hash(data, one)]));
    this.documents[role].targets[path] = { length: Buffer.byteLength(data), hashes };
    this.serveTarget(path, data, hashes);
  }

  /** Where a target is served: below the hash's name with consistent snapshots, under each of its hashes. */
  serveTarget(path, data, hashes) {
    const parts = path.split("/");
    const file = parts.pop();
    const names = this.root.consistent_snapshot && this.hashPrefix ? Object.values(hashes).map((one) => `${one}.${file}`) : [file];
    for (const name of names) this.files.set(["targets", ...parts, name].map(quote).join("/"), Buffer.from(data));
  }

  /** The answer to a request for a path below the repository; undefined is 404. */
  answer(method, path) {
    this.methods.add(method);
    const isMetadata = path.startsWith("metadata/");
    (isMetadata ? this.requests : this.targetRequests).push(path.replace(/^[a-z]+\//, ""));
    const bytes = this.files.get(path);
    if (isMetadata && bytes !== undefined) this.answers.add(hash(bytes));
    return bytes;
  }
}
