// The npm package "openai" as a client of covey serve: what an app that was written for OpenAI's API sees.
// usage: node openai_client.mjs BASE-URL TOKEN
import assert from "node:assert/strict";
import OpenAI from "openai";

const [base, token] = process.argv.slice(2);
const client = new OpenAI({ baseURL: base, apiKey: token, maxRetries: 0 });
const model = "any";
const user = (content) => [{ role: "user", content }];
let count = 0;

async function test(name, run) {
  await run();
  count++;
  console.log(`ok ${name}`);
}

const fails = async (run, Kind, status, part) => {
  const error = await run().then(
    () => assert.fail("it was not refused"),
    (caught) => caught,
  );
  assert.ok(error instanceof Kind, `${error}`);
  assert.equal(error.status, status);
  assert.ok(error.message.includes(part), error.message);
  return error;
};

const set_timer = {
  type: "function",
  function: {
    name: "set_timer",
    description: "Starts a timer.",
    parameters: {
      type: "object",
      properties: { duration: { type: "string" }, loud: { type: "boolean" } },
      required: ["duration", "loud"],
      additionalProperties: false,
    },
  },
};

await test("models", async () => {
  const list = await client.models.list();
  assert.equal(list.data.length, 1);
});

await test("an answer, and the same streamed", async () => {
  const request = { model, messages: user("set a timer for ten minutes"), max_tokens: 60, seed: 7 };
  const whole = await client.chat.completions.create(request);
  assert.equal(whole.object, "chat.completion");
  assert.equal(whole.choices[0].finish_reason, "stop");
  assert.ok(whole.usage.completion_tokens > 0);
  assert.ok(whole.covey.confidence > 0 && whole.covey.confidence <= 1);
  let text = "";
  let usage = null;
  let finish = null;
  const stream = await client.chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } });
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(finish, "stop");
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

await test("stop, max_tokens and seed", async () => {
  const cut = await client.chat.completions.create({ model, messages: user("set a timer for ten minutes"), stop: ["\"args\""] });
  assert.ok(!cut.choices[0].message.content.includes("\"args\""));
  assert.equal(cut.choices[0].finish_reason, "stop");
  const short = await client.chat.completions.create({ model, messages: user("hello"), max_completion_tokens: 3 });
  assert.equal(short.choices[0].finish_reason, "length");
  assert.equal(short.usage.completion_tokens, 3);
  const draw = (seed) =>
    client.chat.completions.create({ model, messages: user("hi"), temperature: 2, seed, max_tokens: 24 }).then((a) => a.choices[0].message.content);
  assert.equal(await draw(1), await draw(1));
  const drawn = new Set();
  for (let seed = 1; seed <= 6; seed++) drawn.add(await draw(seed));
  assert.ok(drawn.size > 1);
});

await test("n", async () => {
  const several = await client.chat.completions.create({ model, messages: user("hi"), temperature: 2, n: 6, max_tokens: 24 });
  assert.deepEqual(several.choices.map((c) => c.index), [0, 1, 2, 3, 4, 5]);
  assert.ok(new Set(several.choices.map((c) => c.message.content)).size > 1);
});

await test("logprobs", async () => {
  const scored = await client.chat.completions.create({ model, messages: user("set a timer"), logprobs: true, top_logprobs: 3, max_tokens: 12 });
  const content = scored.choices[0].logprobs.content;
  assert.ok(content.length > 0 && content.length <= 12);
  for (const item of content) {
    assert.ok(item.logprob <= 0);
    assert.equal(item.top_logprobs.length, 3);
    assert.ok(item.top_logprobs[0].logprob >= item.top_logprobs[1].logprob);
  }
  const bytes = Buffer.from(content.flatMap((item) => item.bytes)).toString();
  assert.ok(bytes.startsWith(scored.choices[0].message.content));
  let streamed = 0;
  const stream = await client.chat.completions.create({ model, messages: user("set a timer"), logprobs: true, max_tokens: 12, stream: true });
  for await (const chunk of stream) streamed += chunk.choices[0]?.logprobs?.content?.length ?? 0;
  assert.equal(streamed, content.length);
});

await test("response_format", async () => {
  const schema = {
    type: "object",
    properties: { city: { type: "string", maxLength: 20 }, size: { type: "integer", minimum: 1, maximum: 99 }, kind: { enum: ["small", "large"] } },
    required: ["city", "size", "kind"],
    additionalProperties: false,
  };
  for (const temperature of [0, 1.5]) {
    const answer = await client.chat.completions.create({
      model,
      messages: user("tell me of a city"),
      temperature,
      max_tokens: 120,
      response_format: { type: "json_schema", json_schema: { name: "city", schema, strict: true } },
    });
    const value = JSON.parse(answer.choices[0].message.content);
    assert.deepEqual(Object.keys(value), ["city", "size", "kind"]);
    assert.ok(Number.isInteger(value.size) && value.size >= 1 && value.size <= 99);
    assert.ok(["small", "large"].includes(value.kind));
  }
  const any = await client.chat.completions.create({ model, messages: user("some JSON"), max_tokens: 60, response_format: { type: "json_object" } });
  assert.equal(typeof JSON.parse(any.choices[0].message.content), "object");
});

await test("a required tool", async () => {
  const request = {
    model,
    messages: user("set a timer for ten minutes"),
    tools: [set_timer],
    tool_choice: { type: "function", function: { name: "set_timer" } },
    max_tokens: 120,
  };
  const answer = await client.chat.completions.create(request);
  const choice = answer.choices[0];
  assert.equal(choice.finish_reason, "tool_calls");
  assert.equal(choice.message.tool_calls[0].function.name, "set_timer");
  const args = JSON.parse(choice.message.tool_calls[0].function.arguments);
  assert.equal(typeof args.duration, "string");
  assert.equal(typeof args.loud, "boolean");
  let name = "";
  let json = "";
  const stream = await client.chat.completions.create({ ...request, tool_choice: "required", stream: true });
  for await (const chunk of stream)
    for (const call of chunk.choices[0]?.delta?.tool_calls ?? []) {
      name += call.function.name ?? "";
      json += call.function.arguments ?? "";
    }
  assert.equal(name, "set_timer");
  JSON.parse(json);
  // The call's result goes back as a message of the tool; this model's template knows none, and it is told in words.
  const result = { role: "tool", tool_call_id: choice.message.tool_calls[0].id, content: "done" };
  const messages = [...request.messages, choice.message, result];
  const told = await client.chat.completions.create({ model, messages, max_tokens: 20 });
  assert.equal(typeof told.choices[0].message.content, "string");
  const plain = await client.chat.completions.create({ model, messages: request.messages, max_tokens: 1 });
  const offered = await client.chat.completions.create({ model, messages: request.messages, tools: [set_timer], max_tokens: 1 });
  assert.ok(offered.usage.prompt_tokens > plain.usage.prompt_tokens + 50, "the model is not told of its tools");
  const twice = await fails(
    () => client.chat.completions.create({ ...request, tools: [set_timer, set_timer] }), OpenAI.BadRequestError, 400, "is the name of another tool");
  assert.equal(twice.param, "tools[1].function.name");
});

await test("completions", async () => {
  const answer = await client.completions.create({ model, prompt: "Hello", max_tokens: 5, logprobs: 2 });
  assert.equal(answer.object, "text_completion");
  const { tokens, token_logprobs, top_logprobs, text_offset } = answer.choices[0].logprobs;
  assert.equal(tokens.length, token_logprobs.length);
  assert.equal(tokens.length, text_offset.length);
  assert.ok(Object.keys(top_logprobs[0]).length <= 2);
});

await test("embeddings", async () => {
  const texts = ["a timer of ten minutes", "a timer of nine minutes", "rain in Lisbon"];
  const answer = await client.embeddings.create({ model, input: texts }); // the client asks for base64
  const plain = await client.embeddings.create({ model, input: texts, encoding_format: "float" });
  assert.equal(answer.data.length, 3);
  for (let i = 0; i < 3; i++) {
    assert.equal(answer.data[i].embedding.length, plain.data[i].embedding.length);
    const square = plain.data[i].embedding.reduce((sum, x) => sum + x * x, 0);
    assert.ok(Math.abs(square - 1) < 1e-4);
    plain.data[i].embedding.forEach((x, at) => assert.ok(Math.abs(x - answer.data[i].embedding[at]) < 1e-6));
  }
});

await test("several clients at once, as one after the other", async () => {
  const ask = (i) =>
    client.chat.completions
      .create({ model, messages: user(`set a timer for ${i} minutes`), temperature: 0.7, seed: i, max_tokens: 40 })
      .then((a) => a.choices[0].message.content);
  const alone = [];
  for (let i = 0; i < 8; i++) alone.push(await ask(i));
  assert.deepEqual(await Promise.all(alone.map((_, i) => ask(i))), alone);
});

await test("a stream that is broken off", async () => {
  const stream = await client.chat.completions.create({ model, messages: user("hello"), stream: true, max_tokens: 400, temperature: 2 });
  for await (const chunk of stream) if (chunk.choices[0]?.delta?.content) break;
  stream.controller.abort();
  const after = await client.chat.completions.create({ model, messages: user("hello"), max_tokens: 2 });
  assert.ok(after.usage.completion_tokens <= 2);
});

await test("errors", async () => {
  const stranger = new OpenAI({ baseURL: base, apiKey: "wrong", maxRetries: 0 });
  await fails(() => stranger.models.list(), OpenAI.AuthenticationError, 401, "");
  await fails(() => client.chat.completions.create({ model, messages: [] }), OpenAI.BadRequestError, 400, "messages");
  await fails(() => client.chat.completions.create({ model, messages: user("x"), logit_bias: { 5: 1 } }), OpenAI.BadRequestError, 400, "logit_bias");
  await fails(
    () => client.chat.completions.create({ model, messages: user("x"), response_format: { type: "json_schema", json_schema: { name: "n", schema: { type: "string", contentEncoding: "base64" } } } }),
    OpenAI.BadRequestError,
    400,
    "contentEncoding",
  );
  await fails(() => client.chat.completions.create({ model, messages: user("word ".repeat(20000)) }), OpenAI.BadRequestError, 400, "context");
  await fails(() => client.embeddings.create({ model, input: "" }), OpenAI.BadRequestError, 400, "input");
});

console.log(`${count} tests passed`);
