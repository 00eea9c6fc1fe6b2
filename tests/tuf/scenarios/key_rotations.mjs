// Rotated keys. A root counts when the threshold of the root before it and its own have signed it (specification, 5.3.4), any other
// role when the newest root's have.
import assert from "node:assert/strict";
import { scenario } from "../scenarios.mjs";
import { fails, succeeds } from "../world.mjs";

// Each step: the keys of the role, "threshold:", who signs. A trailing '-' is a step that must be refused.
const roots = {
  "1 of 1, another key": ["1 1:1", "2 1:21", "2 1:2"],
  "1 of 1, another key, with signatures that nobody needs": ["1 1:314", "2 1:3214", "2 1:324"],
  "3 of 5, signed by other three each time": ["01234 3:024", "01234 3:041", "01234 3:013", "01234 3:013"],
  "3 of 5, one key replaced": ["01234 3:024", "01345 3:041"],
  "3 of 5, one key replaced, signed by both sets in between": ["01234 3:024", "01345 3:0245", "01345 3:045"],
  "3 of 5, all keys replaced, signed by both sets in between": ["01234 3:024", "56789 3:024567", "56789 3:567"],
  "1 of 3 becomes 2 of 3": ["123 1:1", "123 2:12"],
  "2 of 3 becomes 1 of 3": ["123 2:12", "123 1:12", "123 1:1"],
  "1 of 1 becomes 2 of 2": ["1 1:1", "12 2:12"],
  "1 of 1, not signed by the old key": ["1 1:1", "2 1:234-"],
  "1 of 1, not signed by the new key": ["1 1:1", "2 1:134-"],
  "3 of 5, not signed by three of the new": ["01234 3:024", "01345 3:024-"],
  "3 of 5, not signed by three of the old": ["01234 3:024", "01345 3:045-"],
  "1 of 3 becomes 2 of 3, the new threshold is not reached": ["123 1:1", "123 2:2-"],
  "2 of 3 becomes 1 of 3, the old threshold is not reached": ["123 2:12", "123 1:1-"],
};

function readStep(step, keys) {
  const [, own, threshold, signers, bad] = /^(\d+) (\d):(\d*)(-?)$/.exec(step);
  const pick = (digits) => [...digits].map((digit) => keys[Number(digit)]);
  return { keys: pick(own), threshold: Number(threshold), signers: pick(signers), refused: bad === "-" };
}

for (const [name, steps] of Object.entries(roots)) {
  scenario("key rotations", `root: ${name}`, async (world) => {
    const repository = world.repository();
    const keys = Array.from({ length: 10 }, () => repository.newKey());
    repository.forget("root");
    let trusted, last;
    for (const step of steps) {
      last = readStep(step, keys);
      repository.setKeys("root", last.keys, last.threshold, last.signers);
      repository.publish("root");
      if (!last.refused) trusted = repository.newest("root");
    }
    const client = await world.ready(repository);
    await (last.refused ? fails : succeeds)(client, client.refresh());
    assert.deepEqual(client.trustedBytes("root"), trusted);
    assert.equal(client.trustedBytes("timestamp") === undefined, last.refused);
  });
}

const others = {
  "1 of 1, another key": "2 1:2",
  "1 of 1, with signatures that nobody needs": "1 1:314",
  "1 of 1, not signed by the new key": "2 1:134-",
  "3 of 5, one of the three signers is not among them": "01345 3:024-",
  "3 of 5, signed by two": "01345 3:04-",
  "3 of 5, first three signers": "01234 3:024",
  "3 of 5, second three signers": "01234 3:041",
  "3 of 5, third three signers": "01234 3:013",
  "3 of 5, fourth three signers": "01234 3:123",
  "3 of 5, fifth three signers": "01234 3:234",
};

for (const [name, step] of Object.entries(others)) {
  scenario("key rotations", `timestamp, snapshot and targets: ${name}`, async (world) => {
    const order = ["timestamp", "snapshot", "targets"];
    for (const role of order) {
      const repository = world.repository({ label: role });
      const client = await world.ready(repository);
      const keys = Array.from({ length: 10 }, () => repository.newKey());
      await succeeds(client, client.refresh());
      const before = client.trustedBytes(role);
      const { keys: own, threshold, signers, refused } = readStep(step, keys);
      repository.setKeys(role, own, threshold, signers);
      repository.publish("root", "targets", "snapshot", "timestamp");
      await (refused ? fails : succeeds)(client, client.refresh());
      if (refused) assert.notDeepEqual(client.trustedBytes(role), repository.newest(role));
      else for (const one of order) assert.deepEqual(client.trustedBytes(one), repository.newest(one));
      if (refused && role === "targets") assert.deepEqual(client.trustedBytes(role), before);
    }
  });
}
