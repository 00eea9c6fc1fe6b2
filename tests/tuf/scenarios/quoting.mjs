// Names go into URLs and into file names, and neither may lead anywhere else.
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { hash } from "../keys.mjs";
import { quote } from "../repository.mjs";
import { scenario } from "../scenarios.mjs";
import { fails, succeeds } from "../world.mjs";

for (const name of ["?", "#", "/delegatedrole", "../delegatedrole", "..", "%2e%2e%2fx", "a\\b c&d=é"]) {
  scenario("quoting", `a role by the name ${name}`, async (world) => {
    const repository = world.repository();
    repository.delegate("targets", name);
    repository.addKey(name);
    repository.publish(name, "targets", "snapshot", "timestamp");
    const client = await world.ready(repository);
    await fails(client, client.download("nothing of this name"));
    assert.deepEqual(repository.requests.slice(4), [`1.${quote(name)}.json`]);
    assert.equal(readdirSync(client.metadataFolder).length, 5);
    assert.ok(client.trusted().includes(`${name} 1`));
    assert.deepEqual(readdirSync(client.folder).sort(), ["first.json", "metadata", "targets"]);
  });
}

for (const name of ["a file?.txt", "#1", "../outside", "/rooted", "folder/%41"]) {
  scenario("quoting", `a target by the name ${name}`, async (world) => {
    const repository = world.repository();
    const text = `content of ${name}`;
    repository.addTarget("targets", name, text);
    // As it stands in a URL's path: '/' stays.
    const parts = name.split("/");
    const asked = [...parts.slice(0, -1), `${hash(text)}.${parts.at(-1)}`].map(quote).join("/");
    repository.publish("targets", "snapshot", "timestamp");
    const client = await world.ready(repository);
    client.allowed.add(text);
    const done = await client.download(name);
    if (name.startsWith("/") || name.startsWith("..")) {
      // A path that leads out of the targets' address may be refused; it must not be followed in the file system.
      assert.ok(!existsSync(`${client.folder}/outside`));
    } else {
      assert.ok(done, client.lastError);
      assert.deepEqual(repository.targetRequests, [asked]);
    }
    if (done) assert.deepEqual(client.targets(), [text]);
    assert.deepEqual(readdirSync(client.folder).sort(), ["first.json", "metadata", "targets"]);
  });
}
