// Encodes random texts with @huggingface/tokenizers and a published vocabulary, writes the vocabulary as GGUF, and texts
// and ids as JSON for text_oracle. usage: node vocabularies.mjs SEED TEXTS FOLDER OUT.gguf > cases.json
// Texts are of four kinds: characters of many scripts, the vocabulary's own tokens in a row, long stretches without a
// space, and special tokens between words ("special": true, encoded as text that is trusted).
//
// What the two differ in on purpose, or in the package alone, the texts keep away from: NFC (they are in it already),
// U+0085 and U+FEFF (JavaScript's \s is not Unicode's White_Space), U+2581 (in SentencePiece a space by another name),
// digits beyond ASCII for Command R (the package's step "Digits" cuts at JavaScript's \d, Hugging Face's own at all of
// \p{N}), and characters that younger versions of Unicode than Debian's have.
import { Tokenizer } from "@huggingface/tokenizers";
import { CONTROL, NORMAL, UNKNOWN, USER_DEFINED, readFolder, writeVocabulary } from "./vocabulary_gguf.mjs";

const [, , seed, count, path, out] = process.argv;
const folder = readFolder(path);
const words = writeVocabulary(out, folder);
const tokenizer = new Tokenizer(folder.json, folder.config);

let state = Number(seed ?? 1) >>> 0 || 1;
function random(bound) {
  state ^= state << 13;
  state >>>= 0;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state % bound;
}
const one = (list) => list[random(list.length)];
const repeat = (least, most, make) => Array.from({ length: least + random(most - least + 1) }, make).join("");

// Blocks of which all characters have long been assigned.
const blocks = [
  [0x20, 0x7e], [0x20, 0x7e], [0x20, 0x7e], [0xa0, 0x24f], [0x250, 0x2af], [0x300, 0x36f], [0x391, 0x3a1], [0x3a3, 0x3ff], [0x400, 0x52f],
  [0x5d0, 0x5ea], [0x621, 0x64a], [0x64b, 0x669], [0x905, 0x939], [0x93e, 0x94d], [0x995, 0x9a8], [0xbae, 0xbb9], [0xe01, 0xe3a], [0xe40, 0xe5b],
  [0xf49, 0xf6c], [0x10d0, 0x10fa], [0x1200, 0x1248], [0x1780, 0x17b3], [0x1820, 0x1842], [0x1e00, 0x1eff], [0x2000, 0x2027], [0x2030, 0x205e],
  [0x20a0, 0x20bf], [0x2100, 0x218b], [0x2190, 0x23ff], [0x2460, 0x257f], [0x25a0, 0x27bf], [0x3000, 0x303f], [0x3041, 0x3096], [0x30a1, 0x30ff],
  [0x4e00, 0x9fa5], [0x4e00, 0x9fa5], [0xac00, 0xd7a3], [0xff01, 0xff5e], [0x10400, 0x1044f], [0x1d400, 0x1d454], [0x1f300, 0x1f5ff],
  [0x1f600, 0x1f64f], [0x20000, 0x200ff],
];
const pieces = [
  " ", " ", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n ", "\0", "\x01", "\x1b[0m", "\x7f", "\x0b", "\x0c", "\u00a0", "\u00ad", "\u1680", "\u2003",
  "\u200b", "\u200d", "\u2028", "\u202f", "\u3000", "0", "12", "123", "1234", "3.14159", "1,000,000", "２０", "Ⅷ½²", "it's", "WE'LL", "don't", "'s",
  "the", " of", "Hello", " world", "tokenization", " HTMLParser", "snake_case_name", "camelCase", "if (x != y) {\n    return -1;\n}\n", "=>", "!==", "/* */",
  "#include <stdio.h>\n", "<div class=\"a\">", "https://example.org/?q=a%20b#c", "C:\\path", "naïve café", " größer", " Việt Nam", "Съешь же ещё", " мягких",
  "你好，世界", "苹果公司", "いろはにほへと", "カタカナ", "한국어 문장", " العربية", "עברית", "हिन्दी में", "ภาษาไทย", "ქართული", "አማርኛ", "👨‍👩‍👧‍👦", "🇱🇺", "👍🏽", "🚀🦙", "…", "—", "“”",
];
const character = () => {
  const [low, high] = one(blocks);
  return String.fromCodePoint(low + random(high - low + 1));
};
const run = () => one([" ", " ", "\n", "\t", "-", "=", "a", "0", "你", "é", ".", "\r\n", "😀"]).repeat(1 + random(one([4, 40, 200])));

// Texts of the vocabulary's ordinary tokens; of byte-level ones, GPT-2's letters stand for bytes.
const letters = new Map();
for (let byte = 0, next = 256; byte < 256; byte++) {
  const itself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  letters.set(String.fromCodePoint(itself ? byte : next++), byte);
}
const bytesOf = (text) => (words.pre === null ? Buffer.from(text.replaceAll("▁", " ")) : Buffer.from(Array.from(text, (letter) => letters.get(letter))));
function ownToken() {
  const id = random(words.tokens.length);
  return words.types[id] === NORMAL ? bytesOf(words.tokens[id]) : Buffer.from(" ");
}
const ownTokens = () => Buffer.concat(Array.from({ length: 1 + random(16) }, ownToken)).toString("utf8");
const specials = words.tokens.filter((_, id) => [CONTROL, UNKNOWN, USER_DEFINED].includes(words.types[id]));
const mixed = () => repeat(1, 14, () => one([character, character, () => one(pieces), () => one(pieces), run])());
const solid = () => repeat(20, 300, () => one([character, () => one(pieces).trim()])());

const controls = new Set(words.tokens.filter((_, id) => words.types[id] === CONTROL || words.types[id] === UNKNOWN));
const mayHold = [...controls].map((text) => text[0]).filter((letter, at, all) => all.indexOf(letter) === at);
function holdsControl(text) {
  if (!mayHold.some((letter) => text.includes(letter))) return false;
  for (const control of controls) if (text.includes(control)) return true;
  return false;
}

function keepAway(text) {
  const away = words.pre === null ? /[\u0085\ufeff▁]/g : words.pre === "command-r" ? /[\u0085\ufeff]|(?![0-9])\p{N}/gu : /[\u0085\ufeff]/g;
  return text.replace(away, "").normalize("NFC");
}

const cases = ["", " ", "\n", "a", "  a", " \n\n\n a", ...pieces].map((text) => ({ text: keepAway(text) }));
for (let i = 0; i < Number(count ?? 500); i++) {
  const kind = i % 8;
  let text = kind === 7 ? repeat(2, 6, () => mixed() + one(specials)) : kind === 6 ? solid() : kind >= 3 ? ownTokens() : mixed();
  text = keepAway(text);
  if (kind !== 7 && holdsControl(text)) continue; // a user's words are no control tokens here
  cases.push({ text, ...(kind === 7 ? { special: true } : {}) });
}
for (const each of cases) each.ids = tokenizer.encode(each.text, { add_special_tokens: false }).ids;
process.stdout.write(JSON.stringify({ cases }));
