// Medians, ratios, and the lines that a bench prints.

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** @param {number[]} values */
function spread(values) {
  return `${Math.min(...values).toFixed(0)}..${Math.max(...values).toFixed(0)}`;
}

/**
 * Prints "NAME: X.XX", ours over the peer's: below 1 we are faster. The raw medians stand below it.
 * @param {string} name
 * @param {number[]} ours milliseconds
 * @param {{ name: string, values: number[] }} peer milliseconds
 * @param {string} [goal]
 */
export function printRatio(name, ours, peer, goal) {
  const [us, them] = [median(ours), median(peer.values)];
  console.log(`${name}: ${(us / them).toFixed(2)}${goal === undefined ? '' : ` (goal ${goal})`}`);
  console.log(
    `  xenner ${us.toFixed(0)} ms (${spread(ours)}), ${peer.name} ${them.toFixed(0)} ms (${spread(peer.values)})`,
  );
}

/**
 * Prints "NAME: X.XX", ours over the peer's: above 1 we are faster.
 * @param {string} name
 * @param {number[]} ours bytes a second
 * @param {{ name: string, values: number[] }} peer bytes a second
 * @param {string} goal
 */
export function printThroughput(name, ours, peer, goal) {
  const [us, them] = [median(ours), median(peer.values)];
  const mega = (/** @type {number[]} */ values) =>
    `${(median(values) / 1e6).toFixed(1)} MB/s (${spread(values.map((value) => value / 1e6))})`;
  console.log(`${name}: ${(us / them).toFixed(2)} of its throughput (goal ${goal})`);
  console.log(`  xenner ${mega(ours)}, ${peer.name} ${mega(peer.values)}`);
}

/**
 * @param {string} name
 * @param {string} reason
 */
export function printSkip(name, reason) {
  console.log(`${name}: skipped: ${reason}`);
}
