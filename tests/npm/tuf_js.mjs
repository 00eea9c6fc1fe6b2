// tuf-js, a client of other authors, as the tests hold it against covey-tuf: in this process, with a folder of its own.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import tuf from "tuf-js";

export class TufJs {
  constructor(folder, url, root) {
    Object.assign(this, { folder, url, lastError: "" });
    mkdirSync(join(folder, "metadata"), { recursive: true });
    mkdirSync(join(folder, "targets"));
    writeFileSync(join(folder, "metadata", "root.json"), root);
  }

  /** What it finds of a target, its bytes as text; null when it finds or accepts none, undefined when a refresh fails. */
  async find(name) {
    let refreshed = false;
    try {
      const updater = new tuf.Updater({ metadataDir: join(this.folder, "metadata"), metadataBaseUrl: `${this.url}metadata/`,
        targetDir: join(this.folder, "targets"), targetBaseUrl: `${this.url}targets/`, config: { fetchRetries: 0, fetchRetry: 0 } });
      await updater.refresh();
      refreshed = true;
      const target = await updater.getTargetInfo(name);
      if (!target) return null;
      const path = await updater.downloadTarget(target);
      const text = readFileSync(path, "utf8");
      rmSync(path);
      return text;
    } catch (error) {
      this.lastError = String(error);
      return refreshed ? null : undefined;
    }
  }

  /** Version of a top-level role in its store. */
  version(role) {
    try {
      return JSON.parse(readFileSync(join(this.folder, "metadata", `${role}.json`))).signed.version;
    } catch {
      return undefined;
    }
  }
}
