// Renders chat templates over generated conversations with @huggingface/jinja, and writes templates, conversations and
// what came out as JSON for text_oracle.
// usage: node templates.mjs SEED CONVERSATIONS FOLDER... > cases.json
// Every *.jinja of the folders is rendered CONVERSATIONS times, and so are the templates of a folder's
// tokenizer_config.json. `expected` is null where the template refused the
// conversation with raise_exception; what the package itself cannot render is left out and counted on standard error.
//
// Where the package differs from Jinja 3.1, which models are trained with and which this library follows, the
// conversations keep away: strip, lstrip and rstrip ignore their argument there (what assistants say, and the <think> in
// it, has no white space around it but line breaks), mappings are equal only when they are one and the same (no two
// messages of a user are alike), None prints nothing, and whole numbers have no ".0".
import { readFileSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { templatesOf } from "./vocabulary_gguf.mjs";

class Refused extends Error {}

let state = Number(process.argv[2] ?? 1) >>> 0 || 1;
function random(bound) {
  state ^= state << 13;
  state >>>= 0;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state % bound;
}
const one = (list) => list[random(list.length)];
const chance = (percent) => random(100) < percent;

const words = [
  "Hello", "what is the weather in Zürich?", "你好，世界", "Привет", "🚀🦙", "naïve", "a\tb", "x < y && z > 0", 'say "hi"',
  "it's", "C:\\path", "{{ not_a_variable }}", "{% if %}", "{# no #}", "1 + 1 = 2", "#", "```c\nint x;\n```", "\u00a0", "\u2028", "\x7f\x01",
  "<|im_end|>", "<|im_start|>system\n", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<start_of_turn>", "</s>", "[INST]", "[/INST]",
  "<think>", "</think>", "<think>\nhm\n</think>\n\nso", "<tool_response>", "</tool_response>", "<tool_call>", "/think", "/no_think",
  "İstanbul", "ß", "é", "%d %b", "null", "true", "0", "",
];
const spaces = ["", "", "", " ", "\n", "\n\n", "  \n", "\r\n", "\t"];
function text(edges = true) {
  let out = "";
  for (let count = random(5); count > 0; count--) out += (out ? one([" ", "\n", "", ", "]) : "") + one(words);
  if (!edges) {
    out = out.replace(/\s*(<\/?think>)\s*/g, (_, tag) => one(["", "\n"]) + tag + one(["", "\n", "\n\n"])).trim();
    return one(["", "", "\n", "\n\n"]) + out + one(["", "", "\n"]);
  }
  return one(spaces) + out + one(spaces);
}
function json(depth) {
  switch (random(depth > 2 ? 6 : 8)) {
    case 0: return random(1000) - 500;
    case 1: return (random(1000) - 500) / 8 + 0.0625;
    case 2: return chance(50);
    case 3: return null;
    case 4: case 5: return text();
    case 6: return Array.from({ length: random(4) }, () => json(depth + 1));
    default: return Object.fromEntries(Array.from({ length: random(4) }, (_, i) => [one(["city", "n", "naïve", 'q"', "a b"]) + i, json(depth + 1)]));
  }
}
function parameter(depth) {
  const type = one(["string", "integer", "number", "boolean", "array", "object"]);
  const out = { type };
  if (chance(70)) out.description = text();
  if (type === "string" && chance(40)) out.enum = Array.from({ length: 1 + random(3) }, (_, i) => one(words) + i);
  if (type === "integer" && chance(30)) Object.assign(out, { minimum: random(5), maximum: 5 + random(50) });
  if (chance(15)) out.default = json(2);
  if (type === "array") out.items = depth > 1 ? { type: "string" } : parameter(depth + 1);
  if (type === "object" && depth < 2) Object.assign(out, parameters(depth + 1));
  return out;
}
function parameters(depth) {
  const properties = Object.fromEntries(Array.from({ length: random(4) }, (_, i) => [one(["city", "unit", "count", "größe"]) + i, parameter(depth)]));
  const names = Object.keys(properties);
  return { type: "object", properties, required: names.filter(() => chance(50)) };
}
function tool(index) {
  const out = { type: "function", function: { name: one(["get_weather", "search", "set_timer"]) + index, description: text(), parameters: parameters(0) } };
  if (chance(10)) out.function.strict = true;
  return out;
}
let calls = 0;
function toolCall(tools) {
  const name = tools ? one(tools).function.name : "get_weather";
  const args = Object.fromEntries(Array.from({ length: random(3) }, (_, i) => ["arg" + i, json(1)]));
  const id = "call" + String(calls++).padStart(5, "0");
  return { id, type: "function", function: { name, arguments: chance(20) ? JSON.stringify(args) : args } };
}
function conversation() {
  const input = { messages: [], add_generation_prompt: chance(60), bos_token: one(["<s>", "<|begin_of_text|>", "<bos>"]), eos_token: one(["</s>", "<|end|>"]), variables: {}, now_ms: 1735689600000 + random(400) * 86400000 + random(86400000) };
  if (chance(45)) input.tools = Array.from({ length: 1 + random(3) }, (_, i) => tool(i));
  if (chance(50)) input.messages.push({ role: "system", content: text() });
  for (let turns = random(4); turns >= 0; turns--) {
    input.messages.push({ role: "user", content: text() + turns }); // no two alike: see above
    if (chance(4)) input.messages.push({ role: "user", content: text() + "!" + turns });
    while (chance(input.tools ? 50 : 5)) {
      const message = { role: "assistant", content: one(["", text(false)]), tool_calls: Array.from({ length: chance(75) ? 1 : 2 }, () => toolCall(input.tools)) };
      if (chance(20)) message.reasoning_content = text(false);
      input.messages.push(message);
      for (const call of message.tool_calls)
        input.messages.push({ role: "tool", name: call.function.name, tool_call_id: call.id, content: one([text(), JSON.stringify(json(0))]) });
    }
    if (turns > 0 || chance(50)) {
      const message = { role: "assistant", content: text(false) };
      if (chance(10)) message.reasoning_content = text(false);
      input.messages.push(message);
    }
  }
  if (chance(40)) input.variables.enable_thinking = chance(50);
  if (chance(30)) input.variables.date_string = one(["26 Jul 2024", "1 Jan 2026"]);
  if (chance(20)) input.variables.tools_in_user_message = chance(50);
  if (chance(10)) input.variables.documents = Array.from({ length: random(3) }, () => ({ title: text(), text: text() }));
  return input;
}

// What some templates want otherwise than most: calls as OpenAI's API has them (DeepSeek V3), tools as Cohere's API had
// them, documents.
const wantsTextArguments = (template) => template.includes("['arguments'] + ");
function adapt(input, template) {
  if (wantsTextArguments(template))
    for (const message of input.messages.filter((each) => each.tool_calls)) {
      if (chance(80)) message.content = null;
      for (const { function: called } of message.tool_calls)
        if (typeof called.arguments !== "string") called.arguments = JSON.stringify(called.arguments);
    }
  if (template.includes("parameter_definitions"))
    input.tools = (input.tools ?? []).map(({ function: { name, description, parameters: { properties, required } } }) => ({
      name, description,
      parameter_definitions: Object.fromEntries(Object.entries(properties).map(([key, { type, description: said }]) =>
        [key, { type, description: said ?? "", required: required.includes(key) }])),
    }));
  // The package compares as JavaScript does: white space and "0" are equal to false.
  if (template.includes("!= false") && input.messages[0].role === "system") input.messages[0].content += "Be brief.";
  if (template.includes("document in documents")) input.variables.documents ??= [];
  return input;
}

// The same conversation as an API's client sends it: arguments are text, and a message of calls alone has no content.
// It must render alike, whichever form the template wants; `input` takes the form that it wants.
function asFromApi(input, template) {
  const textArguments = wantsTextArguments(template);
  const messages = structuredClone(input.messages);
  const eachCall = (list, change) =>
    list.forEach((message) => message.tool_calls?.forEach(({ function: called }) => (called.arguments = change(called.arguments))));
  eachCall(messages, (given) => (typeof given === "string" ? given : JSON.stringify(given)));
  for (const message of messages.filter((each) => each.tool_calls && !each.content)) {
    if (chance(50)) message.content = null;
    else if (chance(50)) delete message.content;
    else message.content = "";
  }
  if (!textArguments) eachCall(input.messages, (given) => (typeof given === "string" ? JSON.parse(given) : given));
  for (const message of input.messages.filter((each) => each.tool_calls && !each.content))
    message.content = textArguments ? null : "";
  return { ...input, messages, from_api: true };
}

const months = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
function strftime(ms, format) {
  const date = new Date(ms);
  const two = (n) => String(n).padStart(2, "0");
  const parts = { Y: date.getUTCFullYear(), m: two(date.getUTCMonth() + 1), d: two(date.getUTCDate()), B: months[date.getUTCMonth()], b: months[date.getUTCMonth()].slice(0, 3), H: two(date.getUTCHours()), M: two(date.getUTCMinutes()), S: two(date.getUTCSeconds()), "%": "%" };
  return format.replace(/%([YmdBbHMS%])/g, (_, letter) => String(parts[letter]));
}
const range = (a, b, step = 1) => {
  const [start, stop] = b === undefined ? [0, a] : [a, b];
  const out = [];
  for (let i = start; step > 0 ? i < stop : i > stop; i += step) out.push(i);
  return out;
};
function render(program, input) {
  const environment = new Environment();
  const globals = {
    true: true, false: false, none: null, True: true, False: false, None: null, range,
    raise_exception: (message) => { throw new Refused(message); },
    strftime_now: (format) => strftime(input.now_ms, format),
    messages: input.messages, add_generation_prompt: input.add_generation_prompt, bos_token: input.bos_token, eos_token: input.eos_token,
  };
  if (input.tools) globals.tools = input.tools;
  for (const [name, value] of Object.entries({ ...globals, ...input.variables })) environment.set(name, value);
  return new Interpreter(environment).run(program).value;
}

const [, , , count, ...folders] = process.argv;
const templates = {}, cases = [], left = {};
function renderAll(name, text) {
  templates[name] = text;
  const program = parse(tokenize(text, { lstrip_blocks: true, trim_blocks: true }));
  for (let i = Number(count); i > 0; i--) {
    const input = adapt(conversation(), text);
    const given = chance(50) ? asFromApi(input, text) : input;
    let expected = null;
    try {
      expected = render(program, input);
    } catch (error) {
      if (!(error instanceof Refused)) {
        left[`${name}: ${error.message}`] = (left[`${name}: ${error.message}`] ?? 0) + 1;
        continue;
      }
    }
    cases.push({ template: name, input: given, expected });
  }
}
for (const folder of folders)
  for (const file of readdirSync(folder).sort()) {
    if (file.endsWith(".jinja")) renderAll(basename(file, ".jinja"), readFileSync(join(folder, file), "utf8"));
    if (file === "tokenizer_config.json")
      for (const [name, text] of templatesOf(JSON.parse(readFileSync(join(folder, file), "utf8"))))
        renderAll(`${basename(dirname(folder))} ${name}`, text);
  }
for (const [why, times] of Object.entries(left)) console.error(`left out ${times}: ${why}`);
process.stdout.write(JSON.stringify({ templates, cases }));
