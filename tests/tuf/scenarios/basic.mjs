// What every refresh does: the requests and their order, the trusted bytes, and what stops it (specification, 5.3 to 5.6).
import assert from "node:assert/strict";
import { inDays } from "../repository.mjs";
import { hash } from "../keys.mjs";
import { scenario } from "../scenarios.mjs";
import { fails, succeeds } from "../world.mjs";

const all = ["root", "timestamp", "snapshot", "targets"];
const firstRequests = ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"];

function assertTrusts(client, repository) {
  for (const role of all) assert.deepEqual(client.trustedBytes(role), repository.newest(role), role);
}

scenario("basic", "a first refresh asks for four files", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  assert.deepEqual(repository.requests, []);
  await succeeds(client, client.refresh());
  assert.deepEqual(repository.requests, firstRequests);
});

scenario("basic", "a first refresh trusts what was served", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  await succeeds(client, client.refresh());
  assertTrusts(client, repository);
});

scenario("basic", "a refresh with nothing new asks for a root and the timestamp", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  await succeeds(client, client.refresh());
  await succeeds(client, client.refresh());
  assert.deepEqual(repository.requests, [...firstRequests, "2.root.json", "timestamp.json"]);
});

scenario("basic", "a download refreshes first", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  await fails(client, client.download("nothing of this name"));
  assert.deepEqual(repository.requests, firstRequests);
  assertTrusts(client, repository);
});

scenario("basic", "a first root without a version", async (world) => {
  const repository = world.repository();
  const client = world.client(repository);
  const root = JSON.parse(repository.newest("root"));
  delete root.signed.version;
  await client.init(Buffer.from(JSON.stringify(root)));
  await fails(client, client.refresh());
  assert.deepEqual(repository.requests, []);
});

scenario("basic", "a first root with another document's signature", async (world) => {
  const repository = world.repository();
  const client = world.client(repository);
  const root = JSON.parse(repository.newest("root"));
  root.signatures[0].sig = repository.signers.root[0].sign(Buffer.from("{}"));
  await client.init(Buffer.from(JSON.stringify(root)));
  await fails(client, client.refresh());
  assert.deepEqual(repository.requests, []);
});

const upTo = { root: "root 1", timestamp: "root 2", snapshot: "root 2, timestamp 2", targets: "root 2, snapshot 2, timestamp 2" };
for (const role of all) {
  scenario("basic", `an unsigned ${role} is refused, what came before it is kept`, async (world) => {
    const repository = world.repository();
    const client = await world.ready(repository);
    repository.signers[role] = [];
    repository.publish("root", "targets", "snapshot", "timestamp");
    await fails(client, client.refresh());
    assert.equal(client.trusted(), upTo[role]);
  });
}

for (const role of ["root", "snapshot", "targets"]) {
  scenario("basic", `a ${role} of another version than its name says`, async (world) => {
    const repository = world.repository();
    const client = await world.ready(repository);
    repository.publish("root", "targets", "snapshot", "timestamp");
    repository.documents[role].version = 3;
    repository.files.set(`metadata/2.${role}.json`, repository.sign(role));
    await fails(client, client.refresh());
    assert.equal(client.trusted(), upTo[role]);
    assert.equal(repository.requests.at(-1), `2.${role}.json`);
  });
}

scenario("basic", "a timestamp that changed without a new version is not taken", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  await succeeds(client, client.refresh());
  const kept = client.trustedBytes("timestamp");
  repository.timestamp.meta["snapshot.json"].version = 100;
  repository.replace("timestamp", repository.sign("timestamp"));
  await succeeds(client, client.refresh());
  assert.equal(repository.requests.at(-1), "timestamp.json");
  assert.deepEqual(client.trustedBytes("timestamp"), kept);
});

scenario("basic", "hashes of metadata are checked", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.withHashes = true;
  repository.publish("targets", "snapshot", "timestamp");
  await succeeds(client, client.refresh());
  assertTrusts(client, repository);
  repository.publish("targets");
  repository.snapshot.meta["targets.json"].hashes.sha256 = hash("something else");
  repository.publish("snapshot", "timestamp");
  await fails(client, client.refresh());
  assert.equal(client.trusted(), "root 1, snapshot 3, targets 2, timestamp 3");
});

scenario("basic", "lengths of metadata are checked", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.withHashes = true;
  repository.publish("targets", "snapshot", "timestamp");
  repository.timestamp.meta["snapshot.json"].length--;
  repository.publish("timestamp");
  await fails(client, client.refresh());
  assert.equal(client.trusted(), "root 1, timestamp 3");
});

scenario("basic", "metadata is stored byte for byte", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  for (const role of ["timestamp", "snapshot", "targets"])
    repository.replace(role, Buffer.concat([Buffer.from("\t\n"), repository.newest(role), Buffer.from(" \r\n ")]));
  await succeeds(client, client.refresh());
  assertTrusts(client, repository);
});

scenario("basic", "unknown members are part of what is signed", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  await succeeds(client, client.refresh());
  repository.root["unknown-member"] = { nested: [1, -2, null, true, "\"quoted\" \\ and\nbroken"] };
  repository.root.roles.root["another"] = "value";
  repository.addKey("root", repository.newKey("ecdsa", { "unknown-of-key": { b: 2, a: 1 } }));
  repository.publish("root");
  await succeeds(client, client.refresh());
  assert.equal(client.trusted(), "root 2, snapshot 1, targets 1, timestamp 1");
  repository.publish("root");
  const changed = JSON.parse(repository.newest("root"));
  changed.signed["unknown-member"].nested[1] = -3;
  repository.replace("root", Buffer.from(JSON.stringify(changed)));
  await fails(client, client.refresh());
  assert.equal(client.trusted(), "root 2, snapshot 1, targets 1, timestamp 1");
});

scenario("basic", "keyid_hash_algorithms means nothing", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.setKeys("snapshot", [repository.newKey("ecdsa", { keyid_hash_algorithms: "md5" })], 1);
  repository.publish("root", "snapshot", "timestamp");
  await succeeds(client, client.refresh());
  assert.equal(client.trusted(), "root 2, snapshot 2, targets 1, timestamp 2");
});

scenario("basic", "a snapshot that is not there", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  await succeeds(client, client.refresh());
  repository.timestamp.meta["snapshot.json"].version++;
  repository.publish("timestamp");
  await fails(client, client.refresh());
  assert.equal(repository.requests.at(-1), "2.snapshot.json");
  assert.equal(client.trusted(), "root 1, snapshot 1, targets 1, timestamp 2");
});

scenario("basic", "targets that are not there", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  await succeeds(client, client.refresh());
  repository.snapshot.meta["targets.json"].version++;
  repository.publish("snapshot", "timestamp");
  await fails(client, client.refresh());
  assert.equal(repository.requests.at(-1), "2.targets.json");
  assert.equal(client.trusted(), "root 1, snapshot 2, targets 1, timestamp 2");
});

scenario("basic", "a timestamp that is not there", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  await succeeds(client, client.refresh());
  repository.forget("timestamp");
  await fails(client, client.refresh());
  assert.equal(repository.requests.at(-1), "timestamp.json");
  assert.equal(client.trusted(), "root 1, snapshot 1, targets 1, timestamp 1");
});

scenario("basic", "a snapshot in the place of the timestamp", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.addKey("snapshot", repository.signers.timestamp[0]);
  repository.snapshot.meta = { "snapshot.json": { version: 1 } };
  repository.publish("root", "snapshot");
  repository.replace("timestamp", repository.newest("snapshot"));
  await fails(client, client.refresh());
  assert.equal(client.trusted(), "root 2");
});

scenario("basic", "the clock of these tests can be moved", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.root.expires = inDays(7);
  repository.publish("root");
  await succeeds(client, client.refresh());
  await fails(client, client.refresh({ at: 8 * 86400 }));
}, "faketime");
