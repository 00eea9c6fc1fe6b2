// Random repositories, and random things that go wrong in them: with keys, versions, dates, thresholds, signatures, hashes, lengths,
// delegations and bytes. A number says all of it, so that a difference can be had again.
import { inDays, topRoles } from "./tuf/repository.mjs";
import { Repository } from "./tuf/repository.mjs";
import { hash } from "./tuf/keys.mjs";

/** Numbers of a seed (mulberry32). */
export function randomOf(seed) {
  const next = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n) => Math.floor(next() * n);
  return { below, chance: (p) => next() < p, pick: (list) => list[below(list.length)] };
}

export const names = ["a.txt", "b.zip", "dir/a.txt", "dir/b.zip", "dir/sub/c", "x/y/z"];
const patterns = ["*", "*.txt", "*.*", "?.txt", "dir/*", "dir/?.txt", "*/*", "d*/*.zip", "x/y/z", "*/*/*", "dir/[ab]*", "[a-c].*",
  "di?/a.txt", "dir", "", "*/", "dir/[!a]*", "a.txt", "*a*", "**", "b*zip"];
const roleNames = ["A", "B", "C", "role five", "é/x", "..", "Z"];

const speaksFor = (random) => {
  if (random.chance(0.2)) {
    const prefixes = Array.from({ length: 1 + random.below(6) }, () => random.below(16).toString(16));
    if (random.chance(0.3)) prefixes.push(hash(random.pick(names)).slice(0, 1 + random.below(64)));
    return { prefixes };
  }
  return { paths: Array.from({ length: 1 + random.below(3) }, () => random.pick(patterns)) };
};

function addDelegations(random, repository) {
  const roles = roleNames.slice(0, random.below(roleNames.length + 1));
  const known = ["targets"];
  const edge = (from, to) => {
    if (repository.documents[from].delegations?.roles.some((one) => one.name === to)) return;
    repository.delegate(from, to, { ...speaksFor(random), terminating: random.chance(0.2) });
  };
  for (const role of roles) {
    edge(random.pick(known), role);
    known.push(role);
  }
  for (let i = random.below(4); i > 0 && roles.length > 0; i--) edge(random.pick(known), random.pick(roles));
}

function addBins(random, repository) {
  const bits = 1 + random.below(4), key = repository.newKey();
  repository.targets.delegations = { keys: { [key.id]: key.public },
    succinct_roles: { keyids: [key.id], threshold: 1, bit_length: bits, name_prefix: "bin" } };
  for (let i = 0; i < 2 ** bits; i++) {
    repository.documents[`bin-${i.toString(16)}`] = { ...structuredClone(repository.targets), version: 1, delegations: undefined, targets: {} };
    repository.signers[`bin-${i.toString(16)}`] = [key];
  }
}

export const delegatedRoles = (repository) => Object.keys(repository.documents).filter((role) => !topRoles.includes(role));
const targetRoles = (repository) => ["targets", ...delegatedRoles(repository)];

export function randomRepository(random, label) {
  const repository = new Repository({ label, consistent: random.chance(0.8), keyType: random.pick(["ed25519", "ecdsa"]) });
  repository.withHashes = random.chance(0.5);
  repository.pretty = random.chance(0.5);
  if (random.chance(0.1)) addBins(random, repository);
  else addDelegations(random, repository);
  for (const name of names) {
    for (let i = 1 + random.below(3); i > 0; i--) {
      const role = random.pick(targetRoles(repository));
      repository.addTarget(role, name, `${name} by ${role}`, random.pick([["sha256"], ["sha256"], ["sha512"], ["sha256", "sha512"]]));
    }
  }
  repository.publish(...delegatedRoles(repository), "targets", "snapshot", "timestamp");
  return repository;
}

const anyRole = (random, repository) => random.pick([...topRoles, ...delegatedRoles(repository)]);
const entriesOf = (repository) => [...Object.values(repository.root.roles), ...targetRoles(repository).flatMap((role) => {
  const { roles = [], succinct_roles: bins } = repository.documents[role].delegations ?? {};
  return bins ? [bins] : roles;
})];
const delegationsOf = (repository) => targetRoles(repository).flatMap((role) => repository.documents[role].delegations?.roles ?? []);
const targetsOf = (repository) => targetRoles(repository).flatMap((role) => Object.values(repository.documents[role].targets));

/** A change of what stands in documents, before they are published. Each returns what it did, or undefined for nothing. */
const inDocuments = {
  nothing: () => "nothing",
  expire: (random, repository) => {
    const role = anyRole(random, repository);
    repository.documents[role].expires = inDays(-1);
    return `${role} is expired`;
  },
  version: (random, repository) => {
    const role = anyRole(random, repository), by = random.pick([-2, -1, 1, 5]);
    if (repository.documents[role].version + by < 0) return undefined;
    // A known difference: another snapshot of a version that is stored.
    if (role === "snapshot" && by < 0 && repository.withHashes) return undefined;
    repository.documents[role].version += by;
    return `${role}'s version is moved by ${by}`;
  },
  threshold: (random, repository) => {
    random.pick(entriesOf(repository)).threshold += random.pick([1, 2]);
    return "a threshold is higher";
  },
  moreSigners: (random, repository) => {
    const role = random.pick(topRoles), count = 1 + random.below(3);
    for (let i = 0; i < count; i++) repository.addKey(role);
    repository.root.roles[role].threshold = 1 + random.below(repository.root.roles[role].keyids.length + 1);
    return `${role} has ${count} keys more, threshold ${repository.root.roles[role].threshold}`;
  },
  fewerSigners: (random, repository) => {
    const role = anyRole(random, repository);
    repository.signers[role] = repository.signers[role].slice(1);
    return `${role} has a signer less`;
  },
  otherSigner: (random, repository) => {
    const role = anyRole(random, repository);
    repository.signers[role] = [repository.newKey()];
    return `${role} is signed by another key`;
  },
  foreignSigner: (random, repository) => {
    const role = anyRole(random, repository);
    repository.signers[role] = [...repository.signers[anyRole(random, repository)]];
    return `${role} is signed by another role's keys`;
  },
  rotate: (random, repository) => {
    const role = random.pick(topRoles), old = repository.signers[role], both = role !== "root" || random.chance(0.6);
    repository.rotate(role);
    if (both && role === "root") repository.signers.root.push(...old);
    return `${role} has new keys${both ? "" : ", not signed by the old"}`;
  },
  keyValue: (random, repository) => {
    const key = random.pick(Object.values(repository.root.keys));
    key.keyval = { public: random.pick(["00", "zz", "", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"]) };
    return "a key of the root is nonsense";
  },
  keyType: (random, repository) => {
    random.pick(Object.values(repository.root.keys)).keytype = "one-time-pad";
    return "a key of the root is of an unknown type";
  },
  keyGone: (random, repository) => {
    const role = random.pick(targetRoles(repository)), { keys } = repository.documents[role].delegations ?? {};
    if (keys === undefined) return undefined;
    delete keys[random.pick(Object.keys(keys))];
    return `a key is gone from ${role}'s delegations`;
  },
  type: (random, repository) => {
    const role = anyRole(random, repository);
    repository.documents[role]._type = random.pick([...topRoles, "mirrors"]);
    return `${role}'s type is ${repository.documents[role]._type}`;
  },
  specification: (random, repository) => {
    const role = anyRole(random, repository);
    repository.documents[role].spec_version = random.pick(["1.0.0", "1.0.99", "1.1.0", "2.0.0", "0.9.0", "10.0.0"]);
    return `${role}'s spec_version is ${repository.documents[role].spec_version}`;
  },
  unknownMember: (random, repository) => {
    const role = anyRole(random, repository);
    repository.documents[role]["x-unknown"] = random.pick([null, 7, "ü\n\"\\", [1, { b: -2, a: [] }], true, {}]);
    return `${role} has an unknown member`;
  },
  memberGone: (random, repository) => {
    const role = anyRole(random, repository);
    const member = random.pick(["_type", "spec_version", "expires", "targets", "meta", "keys", "roles", "delegations"]);
    if (!(member in repository.documents[role])) return undefined;
    const { [member]: gone, ...rest } = repository.documents[role];
    repository.once = { role, signed: rest }; // one publication without it; the repository goes on as it was
    return `${role} has no member ${member}`;
  },
  order: (random, repository) => {
    const role = random.pick(targetRoles(repository));
    repository.documents[role].delegations?.roles?.reverse();
    return `${role}'s delegations are turned around`;
  },
  delegationGone: (random, repository) => {
    const role = random.pick(targetRoles(repository));
    const gone = repository.documents[role].delegations?.roles?.shift();
    return gone && `${role} delegates no more to ${gone.name}`;
  },
  terminating: (random, repository) => {
    const one = random.pick(delegationsOf(repository));
    if (one === undefined) return undefined;
    one.terminating = !one.terminating;
    return `a delegation to ${one.name} is ${one.terminating ? "" : "not "}terminating`;
  },
  pattern: (random, repository) => {
    const one = random.pick(delegationsOf(repository));
    if (one === undefined) return undefined;
    const { paths, prefixes } = speaksFor(random);
    delete one.paths;
    delete one.path_hash_prefixes;
    Object.assign(one, paths ? { paths } : { path_hash_prefixes: prefixes });
    return `a delegation to ${one.name} is for ${JSON.stringify(paths ?? prefixes)}`;
  },
  speaksForNothing: (random, repository) => {
    const one = random.pick(delegationsOf(repository));
    if (one === undefined) return undefined;
    delete one.paths;
    delete one.path_hash_prefixes;
    return `a delegation to ${one.name} is for nothing`;
  },
  targetLength: (random, repository) => {
    const one = random.pick(targetsOf(repository));
    if (one === undefined) return undefined;
    one.length += random.pick([-1, 1, 100]);
    return "a target's length is wrong";
  },
  targetHash: (random, repository) => {
    const one = random.pick(targetsOf(repository));
    if (one === undefined) return undefined;
    const algorithm = random.pick(Object.keys(one.hashes));
    one.hashes[algorithm] = hash(`${random.below(1000)}`, algorithm);
    return `a target's ${algorithm} is wrong`;
  },
  targetMoves: (random, repository) => {
    const name = random.pick(names), role = random.pick(targetRoles(repository));
    for (const one of targetRoles(repository)) delete repository.documents[one].targets[name];
    repository.addTarget(role, name, `${name} moved to ${role}`);
    return `${name} moved to ${role}`;
  },
  consistent: (random, repository) => {
    repository.root.consistent_snapshot = !repository.root.consistent_snapshot;
    return "consistent snapshots are turned over";
  },
};

/** A change of what stands in the snapshot or the timestamp of others. */
const inMeta = {
  version: (random, meta) => {
    meta.version += random.pick([-1, 1]);
    delete meta.length; // a known difference: hashes that are not those of the stored snapshot
    delete meta.hashes;
  },
  length: (random, meta) => { meta.length = Math.max(1, (meta.length ?? 700) + random.pick([-1, 1, 5000])); },
  hash: (random, meta) => {
    const algorithm = random.pick(["sha256", "sha512"]);
    meta.hashes = { [algorithm]: hash(`${random.below(100)}`, algorithm) };
  },
};

/** A change of bytes that were published. */
const inBytes = {
  gone: () => undefined,
  truncated: (random, bytes) => bytes.subarray(0, random.below(bytes.length)),
  changed: (random, bytes) => {
    const changed = Buffer.from(bytes), at = random.below(bytes.length);
    if (bytes.length === 0) return bytes;
    changed[at] = random.pick([...Buffer.from("0123456789abcdef{}[]\",: xyz")]);
    return changed;
  },
  spaces: (random, bytes) => Buffer.concat([bytes, Buffer.from(random.pick([" ", "\n\n", "\t"]))]),
  junk: (random, bytes) => Buffer.concat([bytes, Buffer.from(random.pick(["x", "{}", "]", ","]))]),
  empty: () => Buffer.alloc(0),
  signatureTwice: (random, bytes) => withSignatures(bytes, (list) => list.push(...list.slice(0, 1))),
  signatureEmpty: (random, bytes) => withSignatures(bytes, (list) => { if (list[0]) list[0].sig = ""; }),
  noSignatures: (random, bytes) => withSignatures(bytes, (list) => { list.length = 0; }),
  signatureOfNobody: (random, bytes) => withSignatures(bytes, (list) => { list.unshift({ keyid: hash("nobody"), sig: "ab".repeat(64) }); }),
};

function withSignatures(bytes, change) {
  try {
    const document = JSON.parse(bytes);
    change(document.signatures);
    return Buffer.from(JSON.stringify(document));
  } catch {
    return bytes; // an earlier change left no document
  }
}

/** Something goes wrong, or changes; all is published again, with or without a new root. Returns what happened. */
export function mutate(random, repository) {
  const story = [];
  let withRoot = random.chance(0.3);
  repository.once = undefined;
  for (let i = random.pick([0, 1, 1, 1, 2]); i > 0; i--) {
    const [name, change] = random.pick(Object.entries(inDocuments));
    const what = change(random, repository);
    if (what === undefined) continue;
    story.push(what);
    if (["threshold", "moreSigners", "rotate", "keyValue", "keyType", "consistent"].includes(name) || what.startsWith("root")) withRoot = true;
  }
  publishAll(random, repository, withRoot, story);
  if (random.chance(0.3)) {
    const [name, change] = random.pick(Object.entries(inBytes));
    const path = random.pick([...repository.files.keys()].filter((one) => one.startsWith("metadata/")));
    const bytes = change(random, repository.files.get(path));
    if (bytes === undefined) repository.files.delete(path);
    else repository.files.set(path, bytes);
    story.push(`${path}: ${name}`);
  }
  if (random.chance(0.1)) {
    const path = random.pick([...repository.files.keys()].filter((one) => one.startsWith("targets/")));
    repository.files.set(path, Buffer.from(random.pick(["", "evil", "evil and long ".repeat(9)])));
    story.push(`${path}: replaced`);
  }
  return story.join("; ") || "new versions";
}

function publishAll(random, repository, withRoot, story) {
  const wrong = random.chance(0.15) ? random.pick(Object.keys(inMeta)) : undefined;
  const roles = [...(withRoot ? ["root"] : []), ...delegatedRoles(repository), "targets", "snapshot", "timestamp"];
  for (const role of roles) {
    const { once } = repository, kept = repository.documents[role];
    if (once?.role === role) repository.documents[role] = once.signed;
    repository.publish(role);
    if (once?.role === role) repository.documents[role] = { ...kept, version: once.signed.version };
    const owner = { targets: "snapshot", snapshot: "timestamp" }[role];
    if (wrong === undefined || owner === undefined || !random.chance(0.5)) continue;
    const name = random.pick(Object.keys(repository.documents[owner].meta ?? {}));
    if (name === undefined) continue;
    if (owner === "snapshot" && random.chance(0.2)) {
      delete repository.snapshot.meta[name];
      story.push(`${name} is not in the snapshot`);
      continue;
    }
    inMeta[wrong](random, repository.documents[owner].meta[name]);
    story.push(`${name}'s ${wrong} is wrong`);
  }
}
