/** Numbers and rules in words. A figure that is not known is said to be unknown; it is never 0. */

export const UNKNOWN = "not known";

// The rules of the policies, as a person would say them; the server's own words, where it sends some, come first.
const RULES = {
  cheap: "simple enough for the cheap route",
  desk: "not simple, and this desk owns its subject",
  novel: "unlike anything the router was trained on, so it takes the safe route",
  danger: "out of scope but urgent, so it takes the safe route",
  "out-of-scope": "nothing a desk should serve: a short refusal",
  "no-desk": "not simple, and no desk owns its subject, so it takes the safe route",
  stays: "another route would not be worth the change within this conversation",
  unsure: "the router is not sure of the desk, so it takes the safe route",
  "cheapest-above": "the cheapest model that is likely enough to answer well",
  "most-probable": "no model is likely enough to answer well; this one is the likeliest",
  "best-utility": "the best balance of quality and cost",
  "within-budget": "the best answer that the budget allows",
  kept: "the strong model is worth its price here",
  "close-enough": "the weaker model is close enough here",
};

/** Why a decision fell as it did; the `why` of a restart tells why the model before it stopped. */
export function whyInWords({ why, rule, restarted }) {
  return (!restarted && why) || RULES[rule] || `rule: ${rule}`;
}

/** A probability as a percentage. */
export function percent(p) {
  if (p === null || p === undefined) return UNKNOWN;
  const points = 100 * p;
  if (points > 0 && points < 1) return "< 1 %";
  if (points > 99 && points < 100) return "> 99 %";
  return `${Math.round(points)} %`;
}

/** Dollars to three significant digits: one answer costs a fraction of a cent. */
export function dollars(usd) {
  if (usd === null || usd === undefined) return UNKNOWN;
  if (usd === 0) return "$0";
  if (usd < 0.000001) return "< $0.000001";
  const digits = Math.max(2, 2 - Math.floor(Math.log10(usd)));
  return `$${usd.toFixed(Math.min(8, digits))}`;
}

/** Milliseconds in the unit that reads well. */
export function duration(ms) {
  if (ms === null || ms === undefined) return UNKNOWN;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** A head's or a label's name without its underscores. */
export function plainName(name) {
  return name.replaceAll("_", " ");
}
