// A second opinion on The Update Framework, from packages of other authors, both ways: tuf-js reads a repository that our code made,
// covey-tuf reads one of @tufjs/repo-mock, and both read many random repositories in which things go wrong: they must agree on what
// they accept and on what they find. Where they are known not to, tuf_differences.mjs says who is right.
// usage: node tuf_opinion.mjs COVEY_TUF SEED COUNT [FOLDER of a repository by tuf_repository]
import assert from "node:assert/strict";
import { readFileSync, readdirSync, rmSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import repoMock from "@tufjs/repo-mock";
import nock from "nock";
import { checkDifferences } from "./tuf_differences.mjs";
import { TufJs } from "./tuf_js.mjs";
import { mutate, names, randomOf, randomRepository } from "./tuf_random.mjs";
import { topRoles } from "./tuf/repository.mjs";
import { Server, World } from "./tuf/world.mjs";

nock.restore(); // repo-mock has it answer for http itself; here real requests are wanted
const [program, seedText, countText, made] = process.argv.slice(2);
const seed = Number(seedText), count = Number(countText);
const server = await new Server().start();

/** What covey-tuf makes of a repository: as TufJs.find for every name at once. */
export async function ask(client, wanted) {
  const found = new Map(wanted.map((name) => [name, undefined]));
  if (!(await client.refresh())) return found;
  await client.download(wanted);
  for (const name of wanted) {
    const file = readdirSync(client.targetFolder).find((one) => decodeURIComponent(one) === name);
    found.set(name, file === undefined ? null : readFileSync(join(client.targetFolder, file), "utf8"));
    if (file !== undefined) rmSync(join(client.targetFolder, file));
  }
  return found;
}

const show = (found) => (found === undefined ? "no refresh" : found === null ? "nothing" : JSON.stringify(found));

/** Both clients look at a repository; throws where they differ. Returns whether the refresh was good, and how many targets were had. */
export async function compare(ours, theirs, wanted) {
  const one = await ask(ours, wanted);
  const differ = [];
  let had = 0, good = true;
  for (const name of wanted) {
    const other = await theirs.find(name);
    if (other !== one.get(name)) differ.push(`${name}: covey-tuf ${show(one.get(name))}, tuf-js ${show(other)}`);
    if (typeof other === "string") had++;
    good &&= other !== undefined;
    if (other === undefined && one.get(name) === undefined) break; // the others would say the same
  }
  if (good && differ.length === 0)
    for (const role of topRoles)
      assert.equal(JSON.parse(ours.trustedBytes(role)).signed.version, theirs.version(role), `the version of ${role}`);
  if (differ.length > 0)
    throw new Error(`${differ.join("\n")}\n  covey-tuf: ${ours.lastError.trim()}\n  tuf-js: ${theirs.lastError}`);
  return { good, had };
}

export function pair(world, repository) {
  const ours = world.client(repository);
  ours.allowed = { has: () => true }; // what is right is for the other client to say
  return { ours, theirs: new TufJs(`${ours.folder}-js`, ours.url, ours.firstRoot) };
}

const totals = { rounds: 0, good: 0, refused: 0, targets: 0, differences: 0 };

async function runCase(number) {
  const random = randomOf(number), world = new World(server, program), stories = [];
  try {
    const repository = randomRepository(random, `case ${number}`);
    const { ours, theirs } = pair(world, repository);
    assert.ok(await ours.init(), ours.lastError);
    for (let round = random.chance(0.3) ? 1 : 0; round < 3; round++) {
      stories.push(round > 0 ? mutate(random, repository) : "as it was made");
      const wanted = [...new Set([random.pick(names), random.pick(names), random.pick(names), "absent"])];
      const { good, had } = await compare(ours, theirs, wanted);
      totals.rounds++;
      totals[good ? "good" : "refused"]++;
      totals.targets += had;
    }
  } catch (error) {
    totals.differences++;
    console.log(`case ${number}: ${stories.join(" | ")}\n  ${error.message.replaceAll("\n", "\n  ")}`);
  } finally {
    world.drop();
  }
}

/** tuf-js reads what src/trust/tuf_make.c and the keys of src/trust made. */
async function readOurs() {
  const world = new World(server, program);
  const answer = (method, path) => { try { return readFileSync(join(made, path)); } catch { return undefined; } };
  const wanted = JSON.parse(readFileSync(join(made, "wanted.json"), "utf8"));
  const { ours, theirs } = pair(world, { answer, answers: { has: () => true }, requests: [], methods: new Set(),
    files: new Map([["metadata/1.root.json", readFileSync(join(made, "metadata/1.root.json"))]]) });
  assert.ok(await ours.init(), ours.lastError);
  const found = await ask(ours, Object.keys(wanted));
  for (const [name, text] of Object.entries(wanted)) {
    assert.equal(await theirs.find(name), text, `${name}: ${theirs.lastError}`);
    assert.equal(found.get(name), text, `${name}: ${ours.lastError}`);
  }
  assert.equal(await theirs.find("absent"), null);
  assert.equal(theirs.version("root"), 3);
  world.drop();
  console.log(`tuf-js reads our repository: ${Object.values(wanted).filter((one) => one !== null).length} targets, `
    + `${Object.values(wanted).filter((one) => one === null).length} that are not there`);
}

/** covey-tuf reads a repository of @tufjs/repo-mock. */
async function readTheirs() {
  const world = new World(server, program);
  const targets = [{ name: "one.txt", content: Buffer.from("the first") }, { name: "two.bin", content: Buffer.from([1, 2, 0, 255]) }];
  const repository = repoMock.initializeTUFRepo(targets);
  const handlers = repoMock.tufHandlers(repository, { metadataPathPrefix: "metadata", targetPathPrefix: "targets" });
  const requests = [];
  const answer = (method, path) => {
    requests.push(path);
    const { statusCode, response } = handlers.find((one) => one.path === path)?.fn() ?? { statusCode: 404 };
    return statusCode === 200 ? Buffer.from(response) : undefined;
  };
  const client = world.client(undefined, { root: Buffer.from(JSON.stringify(repository.rootMeta.toJSON())), url: server.serve({ answer }) });
  assert.ok(await client.init(), client.lastError);
  assert.ok(await client.download(targets.map((one) => one.name)), client.lastError);
  for (const { name, content } of targets) assert.deepEqual(readFileSync(join(client.targetFolder, name)), content);
  assert.equal(await client.download("absent"), false);
  targets[0].content = Buffer.from("The first");
  rmSync(join(client.targetFolder, "one.txt"));
  assert.equal(await client.download("one.txt"), false);
  assert.deepEqual(requests.slice(0, 4), ["metadata/2.root.json", "metadata/timestamp.json", "metadata/snapshot.json", "metadata/targets.json"]);
  world.drop();
  console.log("covey-tuf reads a repository of @tufjs/repo-mock");
}

if (made !== undefined) await readOurs();
await readTheirs();
const listed = await checkDifferences(() => new World(server, program), ask);
console.log(`${listed} known differences are as they are described`);
console.log(`seed ${seed}`);
const waiting = Array.from({ length: count }, (_, i) => seed * 100000 + i);
await Promise.all(Array.from({ length: os.availableParallelism?.() ?? os.cpus().length }, async () => {
  while (waiting.length > 0) await runCase(waiting.shift());
}));
server.stop();
console.log(`tuf opinions: ${count} repositories, ${totals.rounds} looks: ${totals.good} accepted with ${totals.targets} targets, `
  + `${totals.refused} refused, ${totals.differences} differences`);
process.exit(totals.differences === 0 && totals.good > count / 4 && totals.refused > count / 20 ? 0 : 1);
