// Signatures: a threshold of different keys that the delegator names, of the kinds that the specification names (4.2, 4.4).
import assert from "node:assert/strict";
import { scenario } from "../scenarios.mjs";
import { fails, succeeds } from "../world.mjs";

const withSignatures = (bytes, change) => {
  const document = JSON.parse(bytes);
  change(document.signatures);
  return Buffer.from(JSON.stringify(document));
};

scenario("keys", "a snapshot with one signature too few", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.root.roles.snapshot.threshold = 3;
  repository.addKey("snapshot");
  repository.addKey("snapshot");
  repository.publish("root", "targets", "snapshot", "timestamp");
  await succeeds(client, client.refresh());
  repository.signers.snapshot.pop();
  repository.publish("targets", "snapshot", "timestamp");
  await fails(client, client.refresh());
  assert.equal(client.trusted(), "root 2, snapshot 2, targets 2, timestamp 3");
});

scenario("keys", "a threshold above the number of keys", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  for (let i = 0; i < 4; i++) repository.addKey("snapshot");
  repository.root.roles.snapshot.threshold = 6;
  repository.publish("root", "snapshot", "timestamp");
  await fails(client, client.refresh());
  assert.match(client.trusted(), /^root 2(, timestamp 2)?$/);
});

scenario("keys", "keys that are named but not described", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  await succeeds(client, client.refresh());
  repository.addKey("snapshot");
  repository.root.roles.snapshot.threshold = 3;
  const absent = repository.newKey();
  repository.root.roles.snapshot.keyids.push(absent.id);
  repository.signers.snapshot.push(absent);
  repository.publish("root", "snapshot", "timestamp");
  await fails(client, client.refresh());
  assert.match(client.trusted(), /snapshot 1/);
});

scenario("keys", "one key id many times does not make a threshold", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  const key = repository.addKey("snapshot");
  for (let i = 0; i < 8; i++) repository.root.roles.snapshot.keyids.push(key.id);
  repository.root.roles.snapshot.threshold = 6;
  repository.publish("root", "snapshot");
  repository.replace("snapshot", withSignatures(repository.newest("snapshot"), (list) => {
    const own = list.find((one) => one.keyid === key.id);
    for (let i = 0; i < 8; i++) list.push(own);
  }));
  repository.publish("timestamp");
  await fails(client, client.refresh());
  assert.equal(client.trustedBytes("snapshot"), undefined);
});

scenario("keys", "one key under many ids does not make a threshold", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  const key = repository.signers.snapshot[0];
  for (let i = 0; i < 4; i++) {
    const id = `${i}`.repeat(64);
    repository.root.keys[id] = key.public;
    repository.root.roles.snapshot.keyids.push(id);
  }
  repository.root.roles.snapshot.threshold = 3;
  repository.publish("root", "snapshot");
  repository.replace("snapshot", withSignatures(repository.newest("snapshot"), (list) => {
    for (let i = 0; i < 4; i++) list.push({ keyid: `${i}`.repeat(64), sig: list[0].sig });
  }));
  repository.publish("timestamp");
  await fails(client, client.refresh());
  assert.equal(client.trustedBytes("snapshot"), undefined);
});

scenario("keys", "a signature twice makes a document invalid", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.replace("snapshot", withSignatures(repository.newest("snapshot"), (list) => list.push(list[0])));
  await fails(client, client.refresh());
  assert.equal(client.trusted(), "root 1, timestamp 1");
});

for (const type of ["rsa", "ecdsa", "ed25519"]) {
  scenario("keys", `keys of type ${type}`, async (world) => {
    const repository = world.repository({ keyType: type === "ecdsa" ? "ed25519" : "ecdsa" });
    const client = await world.ready(repository);
    const key = repository.addKey("root", repository.newKey(type));
    repository.root.roles.root.threshold++;
    repository.publish("root");
    await succeeds(client, client.refresh());
    assert.match(client.trusted(), /root 2/);
    repository.publish("root");
    const good = repository.newest("root");
    const lies = [key.sign(Buffer.from("another text")), "", "00", "no digits", key.sign(Buffer.from("x")).slice(2)];
    for (const lie of lies) {
      repository.replace("root", withSignatures(good, (list) => { list.find((one) => one.keyid === key.id).sig = lie; }));
      await fails(client, client.refresh());
      assert.match(client.trusted(), /root 2/);
    }
    repository.replace("root", good);
    await succeeds(client, client.refresh());
    assert.match(client.trusted(), /root 3/);
  });
}

scenario("keys", "a bad signature beside enough good ones does no harm", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  const first = repository.signers.timestamp[0];
  repository.addKey("timestamp");
  repository.publish("root");
  for (const bad of [first.sign(Buffer.from("another text")), ""]) {
    repository.publish("timestamp");
    repository.replace("timestamp", withSignatures(repository.newest("timestamp"), (list) => {
      list.find((one) => one.keyid === first.id).sig = bad;
    }));
    await succeeds(client, client.refresh());
  }
  assert.match(client.trusted(), /timestamp 3/);
});

scenario("keys", "a signature by a key of another role does not count", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.signers.targets = [repository.signers.snapshot[0]];
  repository.publish("targets", "snapshot", "timestamp");
  await fails(client, client.refresh());
  assert.equal(client.trusted(), "root 1, snapshot 2, timestamp 2");
});
