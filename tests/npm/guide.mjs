// Checks answers that were generated under JSON Schemas with ajv, a validator of other authors.
// usage: node guide.mjs cases.jsonl
import { readFileSync } from "node:fs";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const Ajv = Ajv2020.default ?? Ajv2020;
const lines = readFileSync(process.argv[2], "utf8").trimEnd().split("\n");
let checked = 0, endless = 0, wrong = 0, last = "", validate = null;
for (const line of lines) {
  const { schema, text } = JSON.parse(line);
  const key = JSON.stringify(schema);
  if (key !== last) {
    last = key;
    validate = null;
    // 0.01 is no double: what is left of a division by it is not quite whole.
    const ajv = new Ajv({ strict: false, multipleOfPrecision: 3 });
    (addFormats.default ?? addFormats)(ajv);
    try {
      validate = ajv.compile(schema);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
    }
  }
  try {
    // A schema that refers to itself with nothing between has no meaning; ajv overflows its stack on it.
    if (!validate) throw new RangeError();
    if (!validate(JSON.parse(text))) {
      wrong++;
      console.error(`not valid: ${text}\nunder ${key}\n${JSON.stringify(validate.errors)}`);
    }
    checked++;
  } catch (error) {
    if (error instanceof RangeError) {
      endless++;
      continue;
    }
    wrong++;
    console.error(`${error.message}: ${text}\nunder ${key}`);
  }
}
console.log(`guide_oracle: ${checked} answers checked by ajv, ${endless} of schemas without end, ${wrong} wrong`);
process.exit(wrong === 0 && checked > 100 ? 0 : 1);
