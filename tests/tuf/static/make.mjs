// Makes the static repositories of this folder: as they lie on a plain web server or in a CDN, complete, signed once. The keys are
// derived from labels, so that the next version of a repository can be made; signatures by ECDSA and RSA differ each time.
// usage: node tests/tuf/static/make.mjs        writes the folders beside it
//
// mixed      Ed25519, ECDSA and RSA; a root chain with rotations and a threshold; hashes; nested delegations; hash prefixes
// plain      no consistent snapshots: files without versions in their names; succinct hash bins (TAP 15)
// old        everything expired in 2024, to be looked at on 2023-06-01 (the file "date"): needs faketime
import { checkPrimeSync, createPrivateKey } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Key, hash } from "../keys.mjs";
import { Repository, quote, topRoles } from "../repository.mjs";

const here = dirname(fileURLToPath(import.meta.url));

const modPower = (base, exponent, modulus) => {
  let result = 1n;
  for (base %= modulus; exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = (result * base) % modulus;
    base = (base * base) % modulus;
  }
  return result;
};
const base64url = (number) => {
  const text = number.toString(16);
  return Buffer.from(text.padStart(text.length + (text.length & 1), "0"), "hex").toString("base64url");
};

/** The first prime p behind a number made from the label with 1024 bits, so that 65537 does not divide p - 1. */
function primeOf(label) {
  let start = Buffer.alloc(0);
  for (let i = 0; start.length < 128; i++) start = Buffer.concat([start, createHash("sha256").update(`${label} ${i}`).digest()]);
  start[0] |= 0xc0;
  for (let p = BigInt(`0x${start.toString("hex")}`) | 1n; ; p += 2n) {
    if (p % 3n === 0n || p % 5n === 0n || p % 7n === 0n || (p - 1n) % 65537n === 0n) continue;
    if (checkPrimeSync(p)) return p;
  }
}

function rsaKey(label) {
  const p = primeOf(`${label} p`), q = primeOf(`${label} q`), e = 65537n;
  const order = (p - 1n) * (q - 1n);
  let d = 0n; // the inverse of e: e is small, so some k makes (1 + k * order) divisible
  for (let k = 1n; d === 0n; k++) if ((1n + k * order) % e === 0n) d = (1n + k * order) / e;
  const numbers = { n: p * q, e, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: modPower(q, p - 2n, p) };
  const jwk = Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, base64url(value)]));
  return new Key("rsa", label, {}, createPrivateKey({ key: { kty: "RSA", ...jwk }, format: "jwk" }));
}

function setDates(repository, date) {
  for (const role of Object.keys(repository.documents)) repository.documents[role].expires = date;
}

/** A repository with nothing published yet. */
function fresh(options) {
  const repository = new Repository(options);
  for (const role of topRoles) repository.forget(role);
  return repository;
}

function write(name, repository, target, date) {
  const folder = join(here, name);
  rmSync(folder, { recursive: true, force: true });
  for (const [path, bytes] of repository.files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
  writeFileSync(join(folder, "target"), `${target}\n`);
  if (date !== undefined) writeFileSync(join(folder, "date"), `${date}\n`);
}

function mixed() {
  const repository = fresh({ label: "static mixed" });
  const [one, two, three] = [repository.newKey("ed25519"), repository.newKey("ecdsa"), rsaKey("static mixed root")];
  repository.withHashes = true;
  repository.root["x-made-by"] = "tests/tuf/static/make.mjs";
  repository.setKeys("root", [one, two, three], 2, [one, three]);
  repository.setKeys("timestamp", [repository.newKey("ecdsa")], 1);
  repository.setKeys("snapshot", [rsaKey("static mixed snapshot")], 1);
  setDates(repository, "2099-12-31T00:00:00Z");
  repository.publish("root");
  repository.setKeys("root", [one, two, three], 2, [two, three]);
  repository.publish("root");
  const four = repository.newKey("ecdsa");
  repository.setKeys("root", [two, three, four], 2, [one, two, three, four]);
  repository.publish("root");
  const wanted = "tools/2.0/tool.tar.gz";
  repository.delegate("targets", "tools", { paths: ["tools/*/*"] });
  repository.delegate("targets", "bins-0-7", { prefixes: ["0", "1", "2", "3", "4", "5", "6", "7"] });
  repository.delegate("targets", "bins-8-f", { prefixes: ["8", "9", "a", "b", "c", "d", "e", "f"], terminating: true });
  repository.delegate("tools", "Tools of 2.0", { paths: ["tools/2.0/*"], terminating: true });
  repository.documents.tools.delegations.roles[0].keyids = [];
  const team = [repository.newKey("ecdsa"), repository.newKey("ed25519")];
  repository.signers["Tools of 2.0"] = [];
  for (const key of team) repository.addKey("Tools of 2.0", key, "tools");
  repository.documents.tools.delegations.roles[0].threshold = 2;
  repository.addTarget("tools", "tools/1.0/tool.tar.gz", "the tool, version 1.0\n");
  repository.addTarget("Tools of 2.0", wanted, "the tool, version 2.0\n", ["sha256", "sha512"]);
  repository.documents["Tools of 2.0"].targets[wanted].custom = { size: "small", tags: ["a", "b"] };
  repository.addTarget("targets", "README", "A repository for tests.\n");
  setDates(repository, "2099-12-31T00:00:00Z");
  const roles = ["Tools of 2.0", "tools", "bins-0-7", "bins-8-f", "targets"];
  repository.publish(...roles);
  repository.publish(...roles, "snapshot", "timestamp");
  for (const path of [...repository.files.keys()]) // as a publisher that cleans up
    if (path.startsWith("metadata/1.") && !path.endsWith(".root.json") && !path.endsWith("snapshot.json")) repository.files.delete(path);
  write("mixed", repository, wanted);
}

/** The bin of a target: the first bits of its path's hash (TAP 15). */
const binOf = (prefix, bits, path) => {
  const number = parseInt(hash(path).slice(0, 8), 16) >>> (32 - bits);
  return `${prefix}-${number.toString(16).padStart(((2 ** bits - 1).toString(16)).length, "0")}`;
};

function plain() {
  const repository = fresh({ label: "static plain", keyType: "ecdsa", consistent: false });
  const key = repository.newKey();
  const names = Array.from({ length: 16 }, (_, i) => `bin-${i.toString(16)}`);
  repository.targets.delegations = { keys: { [key.id]: key.public },
    succinct_roles: { keyids: [key.id], threshold: 1, bit_length: 4, name_prefix: "bin" } };
  for (const name of names) {
    repository.documents[name] = { ...structuredClone(repository.targets), delegations: undefined, targets: {} };
    repository.signers[name] = [key];
  }
  for (const path of ["a", "folder/b", "folder/c"]) repository.addTarget(binOf("bin", 4, path), path, `${path} in a bin\n`);
  setDates(repository, "2099-12-31T00:00:00Z");
  repository.publish("root", ...names, "targets", "snapshot", "timestamp");
  write("plain", repository, "folder/b");
}

function old() {
  const repository = fresh({ label: "static old" });
  repository.delegate("targets", "delegated", { paths: ["files/*"] });
  repository.addTarget("delegated", "files/old", "what was once new\n");
  setDates(repository, "2024-01-01T00:00:00Z");
  repository.publish("root", "delegated", "targets", "snapshot", "timestamp");
  write("old", repository, "files/old", "2023-06-01 12:00:00 UTC");
}

mixed();
plain();
old();
console.log(`made mixed, plain and old in ${here}; URLs quote what ${quote("Tools of 2.0")} shows`);
