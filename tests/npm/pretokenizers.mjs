// Cuts random texts with the regular expressions that vocabularies publish, and writes texts and cuts as JSON for
// text_oracle. usage: node pretokenizers.mjs SEED TEXTS > cases.json
// The expressions are those of the models' tokenizer.json. JavaScript's \s is not Unicode's White_Space, so S below
// stands for it, and (?i:…) is written out.
const S = "\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const s = `[${S}]`;
const notSpace = `[^${S}]`;
const anyCase = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]";
const ends = `${s}*[\\r\\n]+|${s}+(?!${notSpace})|${s}+`;
const gpt2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${S}\\p{L}\\p{N}]+|${s}+(?!${notSpace})|${s}+`;
const llama3 = (digits, word, rest) =>
  `${anyCase}|[^\\r\\n\\p{L}\\p{N}]?${word}+|\\p{N}${digits}| ?[^${S}${rest}]+[\\r\\n]*|${ends}`;
const upper = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const lower = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const o200k = (digits, tail) =>
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${tail}|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${tail}` +
  `|\\p{N}${digits}| ?[^${S}\\p{L}\\p{N}]+[\\r\\n/]*|${ends}`;
// DeepSeek LLM's letters, of which the alphabet below has only such as an older Unicode had.
const letters =
  "[A-Za-z\\u00b5\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u01ba\\u01bc-\\u01bf\\u01c4-\\u0293\\u0295-\\u02af" +
  "\\u0370-\\u0373\\u0376\\u0377\\u037b-\\u037d\\u037f\\u0386\\u0388-\\u038a\\u038c\\u038e-\\u03a1\\u03a3-\\u03f5" +
  "\\u03f7-\\u0481\\u048a-\\u052f\\u0531-\\u0556\\u10a0-\\u10c5\\u13a0-\\u13f5\\ufb00-\\ufb06\\uff21-\\uff3a\\uff41-\\uff5a" +
  "\\u{10400}-\\u{1044f}]";
const signs = "[!-/:-~\\uff01-\\uff0f\\uff1a-\\uff5e\\u2018-\\u201f\\u3000-\\u3002]";
const eastern = "[\\u4e00-\\u9fa5\\u0800-\\u4e00\\uac00-\\ud7ff]+";
const patterns = {
  "gpt-2": [gpt2],
  "llama-bpe": [llama3("{1,3}", "\\p{L}", "\\p{L}\\p{N}")],
  qwen2: [llama3("", "\\p{L}", "\\p{L}\\p{N}")],
  qwen35: [llama3("", "[\\p{L}\\p{M}]", "\\p{L}\\p{M}\\p{N}")],
  starcoder: ["\\p{N}", gpt2],
  falcon: ["[\\p{P}$+<=>^~|`]+", gpt2, "[0-9][0-9][0-9]"],
  "deepseek-llm": ["[\\r\\n]", `${s}?${letters}+`, `${s}?${signs}+`, `${s}+$`, eastern, "\\p{N}+"],
  "deepseek-coder": ["[\\r\\n]", `${s}?\\p{L}+`, `${s}?\\p{P}+`, eastern, "\\p{N}"],
  "deepseek-v3": [
    "\\p{N}{1,3}",
    "[\\u4e00-\\u9fa5\\u3040-\\u309f\\u30a0-\\u30ff]+",
    `[!"#$%&'()*+,\\-.\\/:;<=>?@\\[\\\\\\]^_\`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+` +
      `| ?[\\p{P}\\p{S}]+[\\r\\n]*|${ends}`,
  ],
  "gpt-4o": [o200k("{1,3}", `(?:${anyCase})?`)],
  tekken: [o200k("", "")],
};
const compiled = Object.entries(patterns).map(([name, list]) => [name, list.map((p) => new RegExp(p, "gu"))]);

function cut(expressions, text) {
  let pieces = [text];
  for (const expression of expressions) {
    const next = [];
    for (const piece of pieces) {
      let at = 0;
      for (const match of piece.matchAll(expression)) {
        if (match[0] === "") continue;
        if (match.index > at) next.push(piece.slice(at, match.index));
        next.push(match[0]);
        at = match.index + match[0].length;
      }
      if (at < piece.length) next.push(piece.slice(at));
    }
    pieces = next;
  }
  return pieces;
}

// A small generator (xorshift32), so that a seed gives the same texts everywhere.
let state = Number(process.argv[2] ?? 1) >>> 0 || 1;
function random(bound) {
  state ^= state << 13;
  state >>>= 0;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state % bound;
}
const alphabet = [
  ..."abzAZsStTrReEmMlLdDvV''  \n\r\t0123456789.,!?;:/-_()[]{}<>=+*&^%$#@~`|\\\"",
  ..."éÉßñÄøΩωжЖאبकि你好我龥ぁアー가힣ªºƻʰǅﬁＡａ𐐀𐐨",
  ..."½Ⅷ٣१²㊀ ́ׄः⃝",
  ..."  　​‍﻿",
  ..."“”‘’…—。、！？～¿€©→🚀😀­",
  "'s", "'LL", "'re", "  ", "   ", "\r\n", "\n\n", " a", "Hello", "HTMLParser", " 12", "123", "1234567", "don't", "...", " \n ",
];
const texts = ["", ..."it's we'll|IT'S we'LL|'twas|a1234567b| 12|a \n b|a\n\n\nb|x ...\r\n\r\ny|naïve été|你好 12 你好 世界".split("|")];
for (let i = Number(process.argv[3] ?? 500); i > 0; i--) {
  let text = "";
  for (let size = 1 + random(24); size > 0; size--) text += alphabet[random(alphabet.length)];
  texts.push(text);
}
const out = [];
for (const [name, expressions] of compiled)
  for (const text of texts)
    out.push({ pre: name, text, words: cut(expressions, text).map((word) => Buffer.byteLength(word)) });
process.stdout.write(JSON.stringify(out));
