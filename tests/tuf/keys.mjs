// Keys of The Update Framework (specification 1.0.3x, section 4.2) and the canonical form that they sign (OLPC canonical JSON).
// Ed25519 and ECDSA keys are made from a label, so the same test has the same keys in each run.
import crypto from "node:crypto";

/** The canonical text of a JSON value: members sorted, only '"' and '\' escaped, no floating point numbers. */
export function canonical(value) {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value)) throw new Error(`canonical JSON has no number ${value}`);
    return String(value);
  }
  if (typeof value === "string") return `"${value.replace(/["\\]/g, "\\$&")}"`;
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const names = Object.keys(value).filter((name) => value[name] !== undefined).sort();
  return `{${names.map((name) => `${canonical(name)}:${canonical(value[name])}`).join(",")}}`;
}

export const hash = (data, algorithm = "sha256") => crypto.createHash(algorithm).update(data).digest("hex");

// RFC 8410's wrapping of a seed, and SEC 1's of a scalar: what createPrivateKey reads.
const ed25519Head = Buffer.from("302e020100300506032b657004220420", "hex");
const p256Head = Buffer.from("30310201010420", "hex");
const p256Tail = Buffer.from("a00a06082a8648ce3d030107", "hex");

function makePrivate(type, label) {
  const seed = crypto.createHash("sha256").update(`${type} ${label}`).digest();
  if (type === "ed25519")
    return crypto.createPrivateKey({ key: Buffer.concat([ed25519Head, seed]), format: "der", type: "pkcs8" });
  if (type === "ecdsa")
    return crypto.createPrivateKey({ key: Buffer.concat([p256Head, seed, p256Tail]), format: "der", type: "sec1" });
  return crypto.generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
}

const schemes = { ed25519: "ed25519", ecdsa: "ecdsa-sha2-nistp256", rsa: "rsassa-pss-sha256" };

function publicText(type, publicKey) {
  if (type !== "ed25519") return publicKey.export({ format: "pem", type: "spki" });
  return publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("hex");
}

/** A key pair. `extra` are members of the public key that the specification does not know. */
export class Key {
  constructor(type, label, extra = {}, privateKey = makePrivate(type, label)) {
    this.type = type;
    this.privateKey = privateKey;
    const value = publicText(type, crypto.createPublicKey(privateKey));
    this.public = { keytype: type, scheme: schemes[type], keyval: { public: value }, ...extra };
    this.id = hash(canonical(this.public));
  }

  sign(bytes) {
    const pss = { padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
    const key = this.type === "rsa" ? { key: this.privateKey, ...pss } : this.privateKey;
    return crypto.sign(this.type === "ed25519" ? null : "sha256", bytes, key).toString("hex");
  }
}
