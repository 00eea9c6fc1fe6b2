// The list of scenarios: the files of scenarios/ add to it, main.mjs runs it.
export const groups = ["basic", "expiration", "file download", "keys", "quoting", "rollback", "static repositories",
  "delegation graphs", "target search", "key rotations"];
export const scenarios = [];

/** `needs`: "faketime" for what cannot be shown without moving the clock. */
export function scenario(group, name, run, needs) {
  if (!groups.includes(group)) throw new Error(`no group ${group}`);
  if (scenarios.some((one) => one.group === group && one.name === name)) throw new Error(`${group}: ${name} twice`);
  scenarios.push({ group, name, run, needs });
}
