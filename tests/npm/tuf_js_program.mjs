#!/usr/bin/env node
// tuf-js behind covey-tuf's command line, to run the scenarios of tests/tuf with another client: are they right themselves?
// usage, with the packages installed: node tests/tuf/main.mjs BUILD/npm/tuf_js_program.mjs     (two minutes; see tests/tuf/README.md)
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import tuf from "tuf-js";
const args = process.argv.slice(2), options = { "target-name": [] }, words = [];
while (args.length > 0) {
  const word = args.shift();
  if (!word.startsWith("--")) words.push(word);
  else if (word === "--target-name") options["target-name"].push(args.shift());
  else options[word.slice(2)] = args.shift();
}
try {
  const metadataDir = options["metadata-dir"];
  if (words[0] === "init") {
    mkdirSync(metadataDir, { recursive: true });
    copyFileSync(words[1], join(metadataDir, "root.json"));
  } else {
    const updater = new tuf.Updater({ metadataDir, metadataBaseUrl: options["metadata-url"], targetDir: options["target-dir"],
      targetBaseUrl: options["target-base-url"], config: { fetchRetries: 0, fetchRetry: 0 } });
    await updater.refresh();
    let bad = 0;
    for (const name of words[0] === "download" ? options["target-name"] : []) {
      const info = await updater.getTargetInfo(name);
      if (!info) {
        bad++;
        continue;
      }
      try {
        if (!(await updater.findCachedTarget(info))) await updater.downloadTarget(info);
      } catch (error) {
        console.error(String(error));
        bad++;
      }
    }
    process.exitCode = bad > 0 ? 1 : 0;
  }
} catch (error) {
  console.error(String(error));
  process.exitCode = 1;
}
