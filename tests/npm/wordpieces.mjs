// Encodes random texts with @huggingface/tokenizers and the vocabulary of a BERT model in GGUF, and writes vocabulary,
// texts and ids as JSON for text_oracle. usage: node wordpieces.mjs SEED TEXTS VOCABULARY.gguf > cases.json
import { readFileSync } from "node:fs";
import { Tokenizer } from "@huggingface/tokenizers";

// The strings of tokenizer.ggml.tokens (the format: github.com/ggml-org/ggml docs/gguf.md).
function tokensOf(path) {
  const file = readFileSync(path);
  const sizes = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };
  let at = 24;
  const number = () => Number(file.readBigUInt64LE((at += 8) - 8));
  const string = () => file.toString("utf8", at + 8, (at += 8 + Number(file.readBigUInt64LE(at))));
  const value = (type) => {
    if (type === 8) return string();
    if (type !== 9) return (at += sizes[type]);
    const of = file.readUInt32LE((at += 4) - 4);
    return Array.from({ length: number() }, () => value(of));
  };
  for (let left = Number(file.readBigUInt64LE(16)); left > 0; left--) {
    const key = string();
    const found = value(file.readUInt32LE((at += 4) - 4));
    if (key === "tokenizer.ggml.tokens") return found;
  }
  throw new Error(`${path}: no tokens`);
}

const [, , seed, count, path] = process.argv;
const tokens = tokensOf(path);
const special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const vocab = {};
tokens.forEach((token, id) => {
  const bracketed = token.startsWith("[") && token.endsWith("]");
  const name = token.startsWith("▁") ? token.slice(1) : bracketed ? token : "##" + token;
  vocab[name] ??= id;
});
const tokenizer = new Tokenizer(
  {
    version: "1.0", truncation: null, padding: null, post_processor: null,
    added_tokens: special.map((content) => ({ id: vocab[content], content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })),
    normalizer: { type: "BertNormalizer", clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
    pre_tokenizer: { type: "BertPreTokenizer" },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: { type: "WordPiece", unk_token: "[UNK]", continuing_subword_prefix: "##", max_input_chars_per_word: 100, vocab },
  },
  {},
);

let state = Number(seed ?? 1) >>> 0 || 1;
function random(bound) {
  state ^= state << 13;
  state >>>= 0;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state % bound;
}
const alphabet = [
  ..."abcxyzABCXYZ  \n\r\t0123456789.,!?;:/-_(){}<>=+*&^%$#@~`|\\\"'",
  ..."éÉßñÄøΩωжЖאبकि你好我龥ぁアー가힣각ªº½Ⅷ٣१²ㅏׄः“”‘’…—。、！？～¿€©→🚀😀豈丽İıǅﬁÅ",
  "\u00ad", "\u200b", "\u200d", "\ufeff", "\u00a0", "\u3000", "\u2028", "\x0b", "\x0c", "\x85", "\u0301", "ẛ\u0323", "\u0344", "ộ",
  "Việt", " hello", "world", "unbelievable", "tokenization", " the ", " 2024 ", "a".repeat(60), "[UNK", "]",
];
const cases = [];
for (let i = Number(count ?? 500); i > 0; i--) {
  let text = "";
  for (let size = 1 + random(20); size > 0; size--) text += alphabet[random(alphabet.length)];
  if (special.some((name) => text.includes(name))) continue; // a user's words are no special tokens here
  cases.push({ text, ids: tokenizer.encode(text, { add_special_tokens: false }).ids });
}
process.stdout.write(JSON.stringify({ model: "bert", tokens, special: special.map((name) => vocab[name]), unknown: vocab["[UNK]"], cases }));
