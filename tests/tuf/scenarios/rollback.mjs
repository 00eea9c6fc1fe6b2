// Versions do not go back (specification, 5.3.5, 5.4.3, 5.5.5), save when keys were rotated after an attacker went too far (5.3.11).
import assert from "node:assert/strict";
import { scenario } from "../scenarios.mjs";
import { fails, succeeds } from "../world.mjs";

scenario("rollback", "a snapshot that the timestamp does not name is not asked for", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.publish("snapshot", "timestamp");
  await succeeds(client, client.refresh());
  repository.forget("snapshot");
  repository.snapshot.version = 1;
  repository.publish("snapshot");
  await succeeds(client, client.refresh());
  assert.equal(client.trusted(), "root 1, snapshot 2, targets 1, timestamp 2");
  assert.equal(repository.requests.at(-1), "timestamp.json");
});

scenario("rollback", "targets that the snapshot does not name are not asked for", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  await succeeds(client, client.refresh());
  repository.publish("targets");
  await succeeds(client, client.refresh());
  assert.equal(client.trusted(), "root 1, snapshot 1, targets 1, timestamp 1");
  assert.equal(repository.requests.at(-1), "timestamp.json");
});

scenario("rollback", "an older timestamp", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.publish("timestamp");
  await succeeds(client, client.refresh());
  repository.forget("timestamp");
  repository.timestamp.version = 1;
  repository.publish("timestamp");
  await fails(client, client.refresh());
  assert.equal(client.trusted(), "root 1, snapshot 1, targets 1, timestamp 2");
  assert.equal(repository.requests.at(-1), "timestamp.json");
});

for (const withHashes of [false, true]) {
  const how = withHashes ? "with hashes" : "by version alone";
  scenario("rollback", `an older snapshot, ${how}`, async (world) => {
    const repository = world.repository();
    const client = await world.ready(repository);
    repository.withHashes = withHashes;
    repository.publish("snapshot", "timestamp");
    await succeeds(client, client.refresh());
    repository.forget("snapshot");
    repository.snapshot.version = 1;
    repository.publish("snapshot", "timestamp");
    await fails(client, client.refresh());
    assert.equal(client.trusted(), "root 1, snapshot 2, targets 1, timestamp 2");
    assert.equal(repository.requests.at(-1), "timestamp.json");
  });

  scenario("rollback", `older targets, ${how}`, async (world) => {
    const repository = world.repository();
    const client = await world.ready(repository);
    repository.withHashes = withHashes;
    repository.publish("targets", "snapshot", "timestamp");
    await succeeds(client, client.refresh());
    repository.forget("targets");
    repository.targets.version = 1;
    repository.publish("targets", "snapshot", "timestamp");
    await fails(client, client.refresh());
    assert.equal(client.trusted(), "root 1, snapshot 2, targets 2, timestamp 3");
    assert.equal(repository.requests.at(-1), "3.snapshot.json");
  });
}

scenario("rollback", "a new snapshot while the timestamp names the old one", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.publish("snapshot");
  repository.timestamp.meta["snapshot.json"].version = 1;
  repository.publish("root", "timestamp");
  await succeeds(client, client.refresh());
  assert.equal(client.trusted(), "root 2, snapshot 1, targets 1, timestamp 2");
});

scenario("rollback", "targets missing from a new snapshot", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.delegate("targets", "delegated");
  repository.publish("delegated", "targets", "snapshot", "timestamp");
  await succeeds(client, client.refresh());
  delete repository.snapshot.meta["delegated.json"];
  repository.publish("snapshot", "timestamp");
  await fails(client, client.refresh());
  assert.equal(client.trusted(), "root 1, snapshot 2, targets 2, timestamp 3");
});

scenario("rollback", "recovery of targets that an attacker drove far ahead", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.targets.version = 99999;
  repository.publish("targets", "snapshot", "timestamp");
  await succeeds(client, client.refresh());
  assert.match(client.trusted(), /targets 100000/);
  repository.rotate("snapshot");
  repository.forget("targets");
  repository.targets.version = 2;
  repository.publish("root", "targets", "snapshot", "timestamp");
  await succeeds(client, client.refresh());
  assert.equal(client.trusted(), "root 2, snapshot 3, targets 2, timestamp 3");
});

scenario("rollback", "recovery of a snapshot that an attacker drove far ahead", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.snapshot.version = 99999;
  repository.publish("snapshot", "timestamp");
  await succeeds(client, client.refresh());
  assert.match(client.trusted(), /snapshot 100000/);
  repository.rotate("snapshot");
  repository.rotate("timestamp");
  repository.forget("snapshot");
  repository.snapshot.version = 1;
  repository.publish("root", "targets", "snapshot", "timestamp");
  await succeeds(client, client.refresh());
  assert.equal(client.trusted(), "root 2, snapshot 1, targets 2, timestamp 3");
});

scenario("rollback", "recovery of a timestamp that an attacker drove far ahead", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.timestamp.version = 99999;
  repository.publish("timestamp");
  await succeeds(client, client.refresh());
  assert.match(client.trusted(), /timestamp 100000/);
  repository.rotate("timestamp");
  repository.forget("timestamp");
  repository.timestamp.version = 1;
  repository.publish("root", "targets", "snapshot", "timestamp");
  await succeeds(client, client.refresh());
  assert.equal(client.trusted(), "root 2, snapshot 2, targets 2, timestamp 1");
});

scenario("rollback", "recovery when the stored documents would hold under the new keys too", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  const stolen = repository.signers.timestamp[0], kept = repository.addKey("timestamp");
  repository.publish("root");
  Object.assign(repository.timestamp, { version: 99999 });
  repository.publish("timestamp"); // signed by both keys: the one that stays is enough
  await succeeds(client, client.refresh());
  assert.match(client.trusted(), /timestamp 100000/);
  repository.setKeys("timestamp", [kept], 1);
  delete repository.root.keys[stolen.id];
  repository.forget("timestamp");
  repository.timestamp.version = 1;
  repository.publish("root", "timestamp");
  await succeeds(client, client.refresh());
  assert.equal(client.trusted(), "root 3, snapshot 1, targets 1, timestamp 1");
});

scenario("rollback", "without a rotation there is no recovery", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.timestamp.version = 99999;
  repository.publish("timestamp");
  await succeeds(client, client.refresh());
  repository.forget("timestamp");
  repository.timestamp.version = 1;
  repository.publish("root", "targets", "snapshot", "timestamp");
  await fails(client, client.refresh());
  assert.equal(client.trusted(), "root 2, snapshot 1, targets 1, timestamp 100000");
});
