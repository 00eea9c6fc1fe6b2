// Freeze attacks: nothing that expired is acted on (specification, 5.3.10, 5.4.4, 5.5.6, 5.6.5), and what expired in the store still
// guards the next version.
import assert from "node:assert/strict";
import { day, inDays } from "../repository.mjs";
import { scenario } from "../scenarios.mjs";
import { fails, succeeds } from "../world.mjs";

scenario("expiration", "an expired root is stored, and nothing is done with it", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  await succeeds(client, client.refresh());
  repository.publish("root");
  await succeeds(client, client.refresh());
  repository.root.expires = inDays(-1);
  repository.publish("root", "targets", "snapshot", "timestamp");
  await fails(client, client.refresh());
  assert.equal(client.trusted(), "root 3, snapshot 1, targets 1, timestamp 1");
  assert.equal(repository.requests.at(-1), "4.root.json");
});

scenario("expiration", "an expired timestamp is refused", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  await succeeds(client, client.refresh());
  repository.timestamp.expires = inDays(-5);
  repository.publish("timestamp");
  await fails(client, client.refresh());
  assert.equal(client.trusted(), "root 1, snapshot 1, targets 1, timestamp 1");
});

scenario("expiration", "an expired snapshot is refused", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  await succeeds(client, client.refresh());
  repository.snapshot.expires = inDays(-5);
  repository.publish("snapshot", "timestamp");
  await fails(client, client.refresh());
  assert.equal(client.trusted(), "root 1, snapshot 1, targets 1, timestamp 2");
});

scenario("expiration", "expired targets are refused", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  await succeeds(client, client.refresh());
  repository.targets.expires = inDays(-5);
  repository.publish("targets", "snapshot", "timestamp");
  await fails(client, client.refresh());
  assert.equal(client.trusted(), "root 1, snapshot 2, targets 1, timestamp 2");
});

scenario("expiration", "an expired root in the middle of the chain is passed", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.root.expires = inDays(-1);
  repository.publish("root");
  repository.root.expires = inDays(30);
  repository.publish("root");
  await succeeds(client, client.refresh());
  assert.equal(client.trusted(), "root 3, snapshot 1, targets 1, timestamp 1");
});

scenario("expiration", "from an expired first root to a valid one", async (world) => {
  const repository = world.repository();
  repository.forget("root");
  repository.root.expires = inDays(-100);
  repository.publish("root");
  const client = await world.ready(repository);
  await fails(client, client.refresh());
  assert.deepEqual(repository.requests, ["2.root.json"]);
  repository.root.expires = inDays(30);
  repository.publish("root");
  await succeeds(client, client.refresh());
  assert.equal(client.trusted(), "root 2, snapshot 1, targets 1, timestamp 1");
});

scenario("expiration", "from a store that expired to what is valid", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.timestamp.expires = inDays(7);
  repository.publish("timestamp");
  await succeeds(client, client.refresh());
  repository.publish("targets", "snapshot");
  repository.timestamp.expires = inDays(21);
  repository.publish("timestamp");
  await succeeds(client, client.refresh({ at: 18 * day }));
  assert.equal(client.trusted(), "root 1, snapshot 2, targets 2, timestamp 3");
}, "faketime");

scenario("expiration", "an expired timestamp in the store still guards against older ones", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.timestamp.expires = inDays(7);
  repository.publish("snapshot", "timestamp");
  await succeeds(client, client.refresh());
  repository.forget("timestamp");
  Object.assign(repository.timestamp, { version: 1, expires: inDays(21) });
  repository.publish("timestamp");
  await fails(client, client.refresh({ at: 18 * day }));
  assert.equal(client.trusted(), "root 1, snapshot 2, targets 1, timestamp 2");
}, "faketime");

scenario("expiration", "an expired snapshot in the store still guards against older targets", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  repository.snapshot.expires = inDays(7);
  repository.publish("targets", "snapshot", "timestamp");
  await succeeds(client, client.refresh());
  repository.forget("targets");
  repository.targets.version = 1;
  repository.snapshot.expires = inDays(21);
  repository.publish("targets", "snapshot", "timestamp");
  await fails(client, client.refresh({ at: 18 * day }));
  assert.equal(client.trusted(), "root 1, snapshot 2, targets 2, timestamp 3");
}, "faketime");

const delegated = (world, expires) => {
  const repository = world.repository();
  repository.delegate("targets", "delegated", { paths: ["files/*"], expires });
  repository.addTarget("delegated", "files/first", "first");
  repository.addTarget("delegated", "files/second", "second");
  repository.publish("delegated", "targets", "snapshot", "timestamp");
  return repository;
};

scenario("expiration", "an expired delegated role is refused", async (world) => {
  const repository = delegated(world, inDays(-1));
  const client = await world.ready(repository);
  await succeeds(client, client.refresh());
  await fails(client, client.download("files/first"));
  assert.equal(client.trusted(), "root 1, snapshot 2, targets 2, timestamp 2");
  assert.deepEqual(repository.targetRequests, []);
});

scenario("expiration", "a delegated role that expired in the store is not used", async (world) => {
  const repository = delegated(world, inDays(7));
  const client = await world.ready(repository);
  client.allowed.add("first");
  await succeeds(client, client.download("files/first"));
  await fails(client, client.download("files/second", { at: 18 * day }));
  assert.deepEqual(client.targets(), ["first"]);
}, "faketime");

scenario("expiration", "a delegated role that expired in the store is replaced", async (world) => {
  const repository = delegated(world, inDays(7));
  const client = await world.ready(repository);
  client.allowed.add("first").add("second");
  await succeeds(client, client.download("files/first"));
  repository.documents.delegated.expires = inDays(21);
  repository.publish("delegated", "snapshot", "timestamp");
  await succeeds(client, client.download("files/second", { at: 18 * day }));
  assert.deepEqual(client.targets(), ["first", "second"]);
  assert.equal(client.trusted(), "delegated 2, root 1, snapshot 3, targets 2, timestamp 3");
}, "faketime");
