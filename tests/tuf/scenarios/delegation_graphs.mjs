// The order in which delegated roles are asked for a target that none of them has (specification, 5.6.7): each role before those
// that it delegates to, the first delegation before the next, none twice, and nothing behind a terminating one.
import assert from "node:assert/strict";
import { scenario } from "../scenarios.mjs";
import { fails } from "../world.mjs";

// "A>B": A delegates to B all targets; "A>B!" terminating; "A>B *.py" those paths; T is the top.
const graphs = {
  "one delegation": ["T>A", "A"],
  "two delegations": ["T>A T>B", "A B"],
  "two levels": ["T>A T>B B>C", "A B C"],
  "two levels, the first branch to its end": ["T>A T>B A>C A>D", "A C D B"],
  "three levels, the first branch to its end": ["T>A T>B A>C C>D", "A C D B"],
  "two levels, nothing behind a terminating delegation": ["T>A T>B A>C! A>D", "A C"],
  "three levels, a terminating delegation's own are asked": ["T>A T>B A>C! C>D", "A C D"],
  "two levels, a branch for other paths is left out": ["T>A:*.py T>B A>C", "B"],
  "three levels, a branch for other paths is left out": ["T>A T>B A>C:*.py C>D", "A B"],
  "a cycle": ["T>A T>B B>C C>D D>B", "A B C D"],
  "two delegate to a third": ["T>A T>B B>C A>C", "A C B"],
  "two delegate to a third, one for other paths": ["T>A T>B B>C A>C:*.py", "A B C"],
  "a terminating delegation for other paths ends nothing": ["T>A!:*.py T>B", "B"],
  "a role delegates to itself": ["T>A A>A T>B", "A B"],
};

for (const [name, [edges, order]] of Object.entries(graphs)) {
  scenario("delegation graphs", name, async (world) => {
    const repository = world.repository();
    const client = await world.ready(repository);
    for (const edge of edges.split(" ")) {
      const [, from, to, bang, path = "*"] = /^(\w)>(\w)(!?)(?::(.*))?$/.exec(edge);
      repository.delegate(from === "T" ? "targets" : from, to, { paths: [path], terminating: bang === "!" });
    }
    const roles = Object.keys(repository.documents).filter((role) => role.length === 1);
    repository.publish(...roles, "targets", "snapshot", "timestamp");
    await fails(client, client.download("missing"));
    assert.deepEqual(repository.requests, ["2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json",
      ...order.split(" ").map((role) => `1.${role}.json`)]);
    assert.deepEqual(client.trusted().split(", ").filter((one) => /^[A-D] 1$/.test(one)).join(" "),
      order.split(" ").sort().map((role) => `${role} 1`).join(" "));
  });
}
