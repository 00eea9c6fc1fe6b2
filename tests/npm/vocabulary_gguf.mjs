// Writes the vocabulary of a tokenizer.json (BPE, byte-level or with byte fallback) as a GGUF without tensors, with
// the texts and types of tokens that llama.cpp's converter gives them, and the chat template of the tokenizer_config.json
// beside it. The format: github.com/ggml-org/ggml docs/gguf.md.
// usage: node vocabulary_gguf.mjs FOLDER OUT.gguf, where FOLDER has tokenizer.json and tokenizer_config.json
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6;

export function readFolder(folder) {
  const read = (name) => JSON.parse(readFileSync(join(folder, name), "utf8"));
  return { json: read("tokenizer.json"), config: read("tokenizer_config.json") };
}

// The chat templates as [name, text]; "default" is the one of plain conversations.
export function templatesOf(config) {
  const given = config.chat_template ?? [];
  return typeof given === "string" ? [["default", given]] : given.map((one) => [one.name, one.template]);
}

// What tokenizer.ggml.pre is to be, by how the vocabulary cuts text; null for SentencePiece's manner.
function pretokenizerOf(json) {
  if (json.model.byte_fallback) return null;
  const text = JSON.stringify(json.pre_tokenizer);
  if (text.includes("一-龥぀-ゟ゠-ヿ")) return "deepseek-v3";
  if (text.includes('"individual_digits":true') && text.includes('"use_regex":true')) return "command-r";
  throw new Error(`no name for the pre-tokenizer ${text}`);
}

const looksSpecial = (text) =>
  ["<pad>", "<mask>", "<2mass>", "[@BOS@]"].includes(text) || /^<\|.*\|>$|^<｜.*｜>$|^<unused.*>$/su.test(text);

// Scores as SentencePiece has them: a token is the better the earlier its first merge comes. Tokens that no merge makes
// (characters, bytes, user-defined ones) are never looked up by theirs.
function scoresOf(tokens, merges, ids) {
  const scores = tokens.map(() => 0);
  let made = 0;
  for (const merge of merges) {
    const id = ids[typeof merge === "string" ? merge.replace(" ", "") : merge.join("")];
    if (scores[id] === 0) scores[id] = -++made;
  }
  return scores;
}

export function vocabularyOf({ json, config }) {
  const ids = json.model.vocab;
  const tokens = [], types = [];
  for (const [text, id] of Object.entries(ids)) {
    tokens[id] = text;
    types[id] = json.model.byte_fallback && /^<0x[0-9A-F]{2}>$/.test(text) ? BYTE : NORMAL;
  }
  const pre = pretokenizerOf(json);
  const scores = pre === null ? scoresOf(tokens, json.model.merges, ids) : null;
  for (const { id, content, special } of json.added_tokens) {
    const control = special || looksSpecial(content);
    tokens[id] = control ? content : content.replaceAll("▁", " ");
    types[id] = control ? (content === json.model.unk_token ? UNKNOWN : CONTROL) : USER_DEFINED;
    if (scores) scores[id] = -1000;
  }
  for (let id = 0; id < tokens.length; id++)
    if (tokens[id] === undefined) [tokens[id], types[id]] = [`[PAD${id}]`, UNUSED];
  const merges = json.model.merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" ")));
  const special = (name) => {
    const text = config[name]?.content ?? config[name];
    return text == null ? -1 : tokens.indexOf(text);
  };
  return { pre, tokens, types, scores, merges, bos: special("bos_token"), eos: special("eos_token"), unknown: special("unk_token"), add_bos: config.add_bos_token === true };
}

const U32 = 4, I32 = 5, F32 = 6, BOOL = 7, STRING = 8, ARRAY = 9;

class Writer {
  parts = [];
  number(size, write) {
    const bytes = Buffer.alloc(size);
    write(bytes);
    this.parts.push(bytes);
  }
  u32(value) { this.number(4, (b) => b.writeUInt32LE(value)); }
  u64(value) { this.number(8, (b) => b.writeBigUInt64LE(BigInt(value))); }
  string(text) {
    this.u64(Buffer.byteLength(text));
    this.parts.push(Buffer.from(text));
  }
  value(type, value) {
    if (type === STRING) this.string(value);
    else if (type === BOOL) this.number(1, (b) => b.writeUInt8(value ? 1 : 0));
    else if (type === F32) this.number(4, (b) => b.writeFloatLE(value));
    else if (type === I32) this.number(4, (b) => b.writeInt32LE(value));
    else this.u32(value);
  }
}

export function writeVocabulary(path, folder) {
  const words = vocabularyOf(folder);
  const values = [
    ["general.architecture", STRING, "llama"],
    ["tokenizer.ggml.model", STRING, words.pre === null ? "llama" : "gpt2"],
    ["tokenizer.ggml.pre", STRING, words.pre ?? "default"],
    ["tokenizer.ggml.tokens", ARRAY, STRING, words.tokens],
    ["tokenizer.ggml.token_type", ARRAY, I32, words.types],
    words.pre === null ? ["tokenizer.ggml.scores", ARRAY, F32, words.scores] : ["tokenizer.ggml.merges", ARRAY, STRING, words.merges],
    ["tokenizer.ggml.add_bos_token", BOOL, words.add_bos],
    ["tokenizer.ggml.add_space_prefix", BOOL, false],
  ];
  for (const name of ["bos", "eos", "unknown"])
    if (words[name] >= 0) values.push([`tokenizer.ggml.${name}_token_id`, U32, words[name]]);
  for (const [name, text] of templatesOf(folder.config))
    values.push([`tokenizer.chat_template${name === "default" ? "" : "." + name}`, STRING, text]);
  const out = new Writer();
  out.parts.push(Buffer.from("GGUF"));
  out.u32(3);
  out.u64(0);
  out.u64(values.length);
  for (const [key, type, ...rest] of values) {
    out.string(key);
    out.u32(type);
    if (type === ARRAY) {
      out.u32(rest[0]);
      out.u64(rest[1].length);
      for (const one of rest[1]) out.value(rest[0], one);
    } else {
      out.value(type, rest[0]);
    }
  }
  writeFileSync(path, Buffer.concat(out.parts));
  return words;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeVocabulary(process.argv[3], readFolder(process.argv[2]));
