// Targets: fetched by length and hash, kept only when both are right (specification, 5.7).
import assert from "node:assert/strict";
import { hash } from "../keys.mjs";
import { scenario } from "../scenarios.mjs";
import { fails, succeeds } from "../world.mjs";

const text = "what the target holds";

async function withTarget(world, path, options) {
  const repository = world.repository(options);
  repository.addTarget("targets", path, text);
  repository.publish("targets", "snapshot", "timestamp");
  const client = await world.ready(repository);
  client.allowed.add(text);
  return { repository, client };
}

scenario("file download", "a target arrives, and only when it is asked for", async (world) => {
  const { repository, client } = await withTarget(world, "file.txt");
  await succeeds(client, client.refresh());
  assert.deepEqual(client.targets(), []);
  await succeeds(client, client.download("file.txt"));
  assert.deepEqual(client.targets(), [text]);
  assert.deepEqual(repository.targetRequests, [`${hash(text)}.file.txt`]);
});

scenario("file download", "a target in folders arrives", async (world) => {
  const { repository, client } = await withTarget(world, "path/to/a/file.txt");
  await succeeds(client, client.download("path/to/a/file.txt"));
  assert.deepEqual(client.targets(), [text]);
  assert.deepEqual(repository.targetRequests, [`path/to/a/${hash(text)}.file.txt`]);
});

scenario("file download", "a target without the hash in its name when snapshots are not consistent", async (world) => {
  const { repository, client } = await withTarget(world, "path/file.txt", { consistent: false });
  await succeeds(client, client.download("path/file.txt"));
  assert.deepEqual(client.targets(), [text]);
  assert.deepEqual(repository.requests, ["2.root.json", "timestamp.json", "snapshot.json", "targets.json"]);
  assert.deepEqual(repository.targetRequests, ["path/file.txt"]);
});

scenario("file download", "what the server puts in a target's place is refused", async (world) => {
  const repository = world.repository();
  repository.addTarget("targets", "one", "one's content");
  repository.addTarget("targets", "two", "two's content");
  repository.publish("targets", "snapshot", "timestamp");
  const client = await world.ready(repository);
  client.allowed.add("one's content").add("two's content");
  await succeeds(client, client.download("one"));
  for (const path of repository.files.keys()) if (path.startsWith("targets/")) repository.files.set(path, Buffer.from("evil content!"));
  await client.download("one");
  assert.deepEqual(client.targets(), ["one's content"]);
  await fails(client, client.download("two"));
  assert.deepEqual(client.targets(), ["one's content"]);
});

scenario("file download", "a target that is longer or shorter than it should be is refused", async (world) => {
  const { repository, client } = await withTarget(world, "file.txt");
  const path = `targets/${hash(text)}.file.txt`;
  for (const wrong of [`${text}!`, text.slice(1), "", text.repeat(10000)]) {
    repository.files.set(path, Buffer.from(wrong));
    await fails(client, client.download("file.txt"));
    assert.deepEqual(client.targets(), []);
  }
  repository.files.set(path, Buffer.from(text));
  repository.targets.targets["file.txt"].length++; // what is served has the hash, and not the length
  repository.publish("targets", "snapshot", "timestamp");
  await fails(client, client.download("file.txt"));
  repository.targets.targets["file.txt"].length--;
  repository.publish("targets", "snapshot", "timestamp");
  await succeeds(client, client.download("file.txt"));
});

scenario("file download", "a target that changes again and again", async (world) => {
  const repository = world.repository();
  const client = await world.ready(repository);
  const expected = new Map();
  for (let round = 0; round < 11; round++) {
    const changed = `content ${round}`, added = `addition ${round}`;
    repository.addTarget("targets", "changing", changed);
    repository.addTarget("targets", `added-${round}`, added);
    repository.publish("targets", "snapshot", "timestamp");
    if (round % 5 !== 0) continue; // the client sees some of the versions
    expected.set("changing", changed).set(`added-${round}`, added);
    client.allowed = new Set([...expected.values()]);
    await succeeds(client, client.download("changing"));
    await succeeds(client, client.download(`added-${round}`));
    assert.deepEqual(client.targets().sort(), [...expected.values()].sort());
    repository.serveTarget("changing", `evil ${round}`, { sha256: hash(changed) });
    repository.publish("targets", "snapshot", "timestamp");
    await client.download("changing");
    assert.deepEqual(client.targets().sort(), [...expected.values()].sort());
  }
});

for (const algorithms of [["sha256"], ["sha512"], ["sha256", "sha512"]]) {
  scenario("file download", `a target's hash by ${algorithms.join(" and ")}`, async (world) => {
    const repository = world.repository();
    repository.addTarget("targets", "file.txt", text, algorithms);
    repository.publish("targets", "snapshot", "timestamp");
    const client = await world.ready(repository);
    client.allowed.add(text);
    await succeeds(client, client.download("file.txt"));
    assert.deepEqual(client.targets(), [text]);
    assert.equal(repository.targetRequests.length, 1);
    assert.ok(algorithms.some((one) => repository.targetRequests[0] === `${hash(text, one)}.file.txt`));
    repository.addTarget("targets", "next.txt", text, algorithms);
    for (const path of repository.files.keys()) if (path.endsWith(".next.txt")) repository.files.set(path, Buffer.from(text.toUpperCase()));
    repository.publish("targets", "snapshot", "timestamp");
    await fails(client, client.download("next.txt"));
  });
}

scenario("file download", "a target with an unknown hash alone is refused", async (world) => {
  const repository = world.repository();
  repository.targets.targets["file.txt"] = { length: text.length, hashes: { "unknown-hash": hash(text, "sha512") } };
  repository.serveTarget("file.txt", text, { "unknown-hash": hash(text, "sha512") });
  repository.publish("targets", "snapshot", "timestamp");
  const client = await world.ready(repository);
  await fails(client, client.download("file.txt"));
  assert.deepEqual(client.targets(), []);
});

scenario("file download", "a target that is there is not asked for again", async (world) => {
  const { repository, client } = await withTarget(world, "folder/file.txt");
  await succeeds(client, client.download("folder/file.txt"));
  await succeeds(client, client.download("folder/file.txt"));
  assert.equal(repository.targetRequests.length, 1);
  assert.deepEqual(client.targets(), [text]);
});

scenario("file download", "several targets in one call, one of them not there", async (world) => {
  const repository = world.repository();
  const contents = ["first", "second", "third"];
  for (const one of contents) repository.addTarget("targets", one, `${one} content`);
  repository.publish("targets", "snapshot", "timestamp");
  const client = await world.ready(repository);
  for (const one of contents) client.allowed.add(`${one} content`);
  await succeeds(client, client.download(contents.slice(0, 2)));
  assert.equal(repository.requests.length, 4);
  await fails(client, client.download(["absent", "third"]));
  assert.deepEqual(client.targets().sort(), contents.map((one) => `${one} content`));
});
