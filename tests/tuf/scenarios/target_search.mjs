// Which role's word on a target counts: one that every delegation on the way lets speak for its path.
import assert from "node:assert/strict";
import { hash } from "../keys.mjs";
import { scenario } from "../scenarios.mjs";
import { fails, succeeds } from "../world.mjs";

function tree(world) {
  const repository = world.repository();
  repository.delegate("targets", "A", { paths: ["*.doc", "*.md"] });
  repository.delegate("targets", "B", { paths: ["releases/*/*"] });
  repository.delegate("B", "C", { paths: ["releases/x/*"] });
  repository.delegate("B", "D", { paths: ["releases/y/*.zip"] });
  const targets = { "at the top": "targets", "README.md": "A", "releases/x/x1": "C", "releases/y/y1.zip": "D", "releases/z/z1.zip": "D",
    "folder/README.md": "A" };
  for (const [path, role] of Object.entries(targets)) repository.addTarget(role, path, `${path} by ${role}`);
  repository.publish("A", "B", "C", "D", "targets", "snapshot", "timestamp");
  return repository;
}

const cases = {
  "by the top role": ["at the top", "targets", []],
  "by a pattern": ["README.md", "A", ["A"]],
  "through two levels, one segment": ["releases/x/x1", "C", ["B", "C"]],
  "through two levels, a pattern in the last segment": ["releases/y/y1.zip", "D", ["B", "D"]],
  "not delegated on the whole way": ["releases/z/z1.zip", null, ["B"]],
  "a pattern does not match across folders": ["folder/README.md", null, []],
};
for (const [name, [path, role, asked]] of Object.entries(cases)) {
  scenario("target search", name, async (world) => {
    const repository = tree(world);
    const client = await world.ready(repository);
    if (role === null) {
      await fails(client, client.download(path));
      assert.deepEqual(client.targets(), []);
      assert.deepEqual(repository.targetRequests, []);
    } else {
      client.allowed.add(`${path} by ${role}`);
      await succeeds(client, client.download(path));
      assert.deepEqual(client.targets(), [`${path} by ${role}`]);
    }
    assert.deepEqual(repository.requests.slice(4), asked.map((one) => `1.${one}.json`));
  });
}

scenario("target search", "the first role that has it is believed", async (world) => {
  const repository = world.repository();
  repository.delegate("targets", "A");
  repository.delegate("targets", "B");
  repository.addTarget("B", "file", "by B");
  repository.addTarget("A", "file", "by A");
  repository.publish("A", "B", "targets", "snapshot", "timestamp");
  const client = await world.ready(repository);
  client.allowed.add("by A");
  await succeeds(client, client.download("file"));
  assert.deepEqual(repository.requests.slice(4), ["1.A.json"]);
});

scenario("target search", "a role that does not hold ends the search", async (world) => {
  const repository = world.repository();
  repository.delegate("targets", "A");
  repository.delegate("targets", "B");
  repository.addTarget("B", "file", "by B");
  repository.signers.A = [];
  repository.publish("A", "B", "targets", "snapshot", "timestamp");
  const client = await world.ready(repository);
  await fails(client, client.download("file"));
  assert.deepEqual(repository.requests.slice(4), ["1.A.json"]);
  assert.equal(client.trusted(), "root 1, snapshot 2, targets 2, timestamp 2");
});

scenario("target search", "behind a cycle of delegations", async (world) => {
  const repository = world.repository();
  repository.delegate("targets", "A");
  repository.delegate("A", "B");
  repository.delegate("B", "A");
  repository.delegate("B", "B");
  repository.delegate("targets", "C");
  repository.addTarget("C", "file", "by C");
  repository.publish("A", "B", "C", "targets", "snapshot", "timestamp");
  const client = await world.ready(repository);
  client.allowed.add("by C");
  await succeeds(client, client.download("file"));
  assert.deepEqual(repository.requests.slice(4), ["1.A.json", "1.B.json", "1.C.json"]);
});

scenario("target search", "by the prefix of a path's hash", async (world) => {
  const repository = world.repository();
  const digits = hash("file"), unlike = (digit) => (digit === "0" ? "1" : "0");
  const other = unlike(digits[0]), near = `${digits.slice(0, 2)}${unlike(digits[2])}`;
  repository.delegate("targets", "other", { prefixes: [other, near, `${digits}0`.slice(1)] });
  repository.delegate("targets", "bin", { prefixes: [other, digits.slice(0, 3)] });
  repository.addTarget("bin", "file", "by its bin");
  repository.publish("other", "bin", "targets", "snapshot", "timestamp");
  const client = await world.ready(repository);
  client.allowed.add("by its bin");
  await succeeds(client, client.download("file"));
  assert.deepEqual(client.targets(), ["by its bin"]);
  assert.deepEqual(repository.requests.slice(4), ["1.bin.json"]);
});

scenario("target search", "a delegated role is kept until the snapshot names another version", async (world) => {
  const repository = tree(world);
  const client = await world.ready(repository);
  client.allowed.add("README.md by A");
  await succeeds(client, client.download("README.md"));
  repository.requests.length = 0;
  await succeeds(client, client.download("README.md"));
  assert.deepEqual(repository.requests, ["2.root.json", "timestamp.json"]);
  repository.publish("A", "snapshot", "timestamp");
  await succeeds(client, client.download("README.md"));
  assert.deepEqual(repository.requests.slice(2), ["2.root.json", "timestamp.json", "3.snapshot.json", "2.A.json"]);
});
