// Runs the scenarios against covey-tuf, several at once, and counts them by group.
// usage: node main.mjs PROGRAM [TEXT]      TEXT: only scenarios whose group or name has it
import os from "node:os";
import { spawnSync } from "node:child_process";
import { groups, scenarios } from "./scenarios.mjs";
import { Server, World } from "./world.mjs";

for (const group of groups) await import(`./scenarios/${group.replaceAll(" ", "_")}.mjs`);

const [program, text = ""] = process.argv.slice(2);
const chosen = scenarios.filter((one) => `${one.group}: ${one.name}`.includes(text));
const has = { faketime: spawnSync("faketime", ["--version"]).error === undefined };
const server = await new Server().start();

async function runOne(one) {
  if (one.needs && !has[one.needs]) {
    one.result = "skipped";
    return;
  }
  const world = new World(server, program);
  try {
    await one.run(world);
    one.result = "passed";
  } catch (error) {
    one.result = "failed";
    console.log(`failed: ${one.group}: ${one.name}\n  ${error.stack.replaceAll("\n", "\n  ")}`);
  } finally {
    world.drop();
  }
}

const waiting = [...chosen];
const jobs = 2 * (os.availableParallelism?.() ?? os.cpus().length);
await Promise.all(Array.from({ length: jobs }, async () => {
  while (waiting.length > 0) await runOne(waiting.shift());
}));
server.stop();

const count = (list, result) => list.filter((one) => one.result === result).length;
for (const group of groups) {
  const list = chosen.filter((one) => one.group === group);
  const skipped = count(list, "skipped");
  if (list.length > 0)
    console.log(`${group}: ${count(list, "passed")} of ${list.length} passed${skipped ? `, ${skipped} skipped (no faketime)` : ""}`);
}
const passed = count(chosen, "passed"), failed = count(chosen, "failed");
console.log(`tuf scenarios: ${chosen.length} in all, ${passed} passed, ${failed} failed, ${count(chosen, "skipped")} skipped`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
