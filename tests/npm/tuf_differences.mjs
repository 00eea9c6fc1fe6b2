// Where covey-tuf and tuf-js are known to differ, and who is right by the specification (version 1.0.31 and later). Each is made,
// and both clients must do what is written here: so a difference that goes away, or comes, is seen.
import assert from "node:assert/strict";
import { hash } from "./tuf/keys.mjs";
import { Repository } from "./tuf/repository.mjs";
import { TufJs } from "./tuf_js.mjs";

const finds = "the target"; // its text in every repository here
const nothing = null, noRefresh = undefined;
const publish = (repository, ...roles) => repository.publish(...roles, "targets", "snapshot", "timestamp");
const inTargets = (repository, name) => {
  repository.addTarget("targets", name, finds);
  publish(repository);
};
const byPattern = (pattern, name) => ({ name, make: (repository) => {
  repository.delegate("targets", "A", { paths: [pattern] });
  repository.addTarget("A", name, finds);
  publish(repository, "A");
} });
const changed = (bytes, change) => {
  const document = JSON.parse(bytes);
  change(document);
  return Buffer.from(JSON.stringify(document));
};

/** `right`: whose way the specification has. `again`: a second state, to which both come from the first. */
const differences = [
  { what: "one key under three ids counts once", right: "ours: a threshold is of keys, and an id is its key's hash", ours: noRefresh, theirs: finds,
    make: (repository) => {
      const [key] = repository.signers.targets;
      inTargets(repository, "file");
      for (const id of ["1".repeat(64), "2".repeat(64)]) {
        repository.root.keys[id] = key.public;
        repository.root.roles.targets.keyids.push(id);
      }
      repository.root.roles.targets.threshold = 3;
      repository.publish("root");
      repository.files.set("metadata/2.targets.json", changed(repository.newest("targets"), ({ signatures: [one], signatures: list }) => {
        for (const digit of "12") list.push({ keyid: digit.repeat(64), sig: one.sig });
      }));
    } },
  { what: "a date that is none", right: "ours: tuf-js takes it for a date that never comes", ours: noRefresh, theirs: finds,
    make: (repository) => { repository.targets.expires = "soon"; inTargets(repository, "file"); } },
  { what: "a timestamp of version 0", right: "ours: versions are greater than 0", ours: noRefresh, theirs: finds,
    make: (repository) => {
      inTargets(repository, "file");
      repository.forget("timestamp");
      repository.timestamp.version = 0;
      repository.publish("timestamp");
    } },
  { what: "delegations to roles with numbers as names keep their order", right: "ours: tuf-js keeps them in an object, which orders numbers, and then finds the signature wrong",
    ours: finds, theirs: noRefresh, make: (repository) => {
      for (const [role, text] of [["2", finds], ["1", "the other"]]) {
        repository.delegate("targets", role);
        repository.addTarget(role, "file", text);
      }
      publish(repository, "2", "1");
    } },
  { what: "braces in a pattern", right: "ours: '*', '?' and '[...]' alone are glob(7)", ours: nothing, theirs: finds, ...byPattern("{a,b}.txt", "a.txt") },
  { what: "a pattern that begins with '!'", right: "ours: it negates nothing", ours: nothing, theirs: finds, ...byPattern("!a.txt", "b.txt") },
  { what: "a pattern that begins with '#'", right: "ours: there are no comments", ours: finds, theirs: nothing, ...byPattern("#*", "#1.txt") },
  { what: "a pattern like +(a|b)", right: "ours", ours: nothing, theirs: finds, ...byPattern("+(a|b).txt", "a.txt") },
  { what: "'*' and a name that begins with a dot", right: "both: the specification is silent; its reference implementation matches, as ours",
    ours: finds, theirs: nothing, ...byPattern("*", ".hidden") },
  { what: "a target by the name constructor", right: "ours: tuf-js takes what every object of JavaScript has for a target",
    ours: finds, theirs: nothing, ...byPattern("*", "constructor") },
  { what: "a target's MD5", right: "ours: it says nothing of what a file holds", ours: nothing, theirs: finds,
    make: (repository) => {
      repository.addTarget("targets", "file", finds, ["md5"]);
      publish(repository);
    } },
  { what: "an unknown hash beside SHA-256", right: "ours: one that is known is enough to verify", ours: finds, theirs: nothing,
    make: (repository) => {
      repository.addTarget("targets", "file", finds);
      repository.targets.targets.file.hashes["another-hash"] = "00";
      publish(repository);
    } },
  { what: "prefixes of hashes in capitals", right: "both: digits of numbers", ours: finds, theirs: nothing, make: (repository) => {
    repository.delegate("targets", "A", { prefixes: [hash("file").slice(0, 8).toUpperCase()] });
    repository.addTarget("A", "file", finds);
    publish(repository, "A");
  } },
  { what: "an empty prefix of a hash", right: "both: ours refuses a delegation of everything by a mistake", ours: noRefresh, theirs: finds, make: (repository) => {
    repository.delegate("targets", "A", { prefixes: [""] });
    repository.addTarget("A", "file", finds);
    publish(repository, "A");
  } },
  { what: "a delegation that does not say whether it terminates", right: "ours: the specification's own example has none",
    ours: finds, theirs: noRefresh, make: (repository) => {
      repository.delegate("targets", "A");
      delete repository.targets.delegations.roles[0].terminating;
      repository.addTarget("A", "file", finds);
      publish(repository, "A");
    } },
  { what: "delegations nine deep", right: "both: each client has bounds of its own", ours: nothing, theirs: finds, make: (repository) => {
    const roles = [..."ABCDEFGHI"];
    roles.forEach((role, i) => repository.delegate(i > 0 ? roles[i - 1] : "targets", role));
    repository.addTarget("I", "file", finds);
    publish(repository, ...roles);
  } },
  { what: "a member twice in a document", right: "ours: what such a document says depends on its reader", ours: noRefresh, theirs: finds,
    make: (repository) => {
      inTargets(repository, "file");
      const text = repository.newest("timestamp").toString();
      repository.replace("timestamp", Buffer.from(text.replace(/"version": ?2,/, "\"version\":1,$&")));
    } },
  { what: "a hash in the snapshot with a wrong number of digits", right: "both: tuf-js looks at it when it needs the file",
    ours: noRefresh, theirs: finds, make: (repository) => {
      repository.delegate("targets", "A", { paths: ["other"] });
      repository.addTarget("targets", "file", finds);
      repository.publish("A", "targets");
      repository.snapshot.meta["A.json"].hashes = { sha512: hash("") };
      repository.publish("snapshot", "timestamp");
    } },
  { what: "the stored snapshot under a new hash", right: "ours: tuf-js does not hold what it has stored against the timestamp's hashes (5.5.2)",
    ours: noRefresh, theirs: finds, make: (repository) => inTargets(repository, "file"), again: (repository) => {
      repository.timestamp.meta["snapshot.json"].hashes = { sha256: hash("another") };
      repository.publish("timestamp");
    } },
  { what: "recovery of a timestamp whose old version holds under the new keys too", right: "ours: it is deleted when keys were rotated (5.3.11)",
    ours: finds, theirs: noRefresh, make: (repository) => {
      repository.addKey("timestamp");
      repository.publish("root");
      inTargets(repository, "file");
    }, again: (repository) => {
      repository.setKeys("timestamp", repository.signers.timestamp.slice(1), 1);
      repository.forget("timestamp");
      repository.timestamp.version = 1;
      repository.publish("root", "timestamp");
    } },
];

/** Makes each and asks both. `ask` is covey-tuf's answer to names; returns how many were checked. */
export async function checkDifferences(newWorld, ask) {
  for (const one of differences) {
    const world = newWorld(), repository = new Repository({ label: one.what }), { name = "file" } = one;
    one.make(repository);
    const ours = world.client(repository), theirs = new TufJs(`${ours.folder}-js`, ours.url, ours.firstRoot);
    ours.allowed = { has: () => true };
    assert.ok(await ours.init(), ours.lastError);
    if (one.again) {
      assert.equal((await ask(ours, [name])).get(name), finds, ours.lastError);
      assert.equal(await theirs.find(name), finds, theirs.lastError);
      one.again(repository);
    }
    const us = (await ask(ours, [name])).get(name), them = await theirs.find(name);
    world.drop();
    assert.deepEqual([us, them], [one.ours, one.theirs],
      `${one.what}: covey-tuf ${us}, tuf-js ${them}\n${ours.lastError}${theirs.lastError}`);
    assert.notEqual(us, them);
  }
  return differences.length;
}
