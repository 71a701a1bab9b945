// Slopes in the space of actions: of critics, world model and simulator.

const estimates = data.slopes.of;
// What is true and what the critics say has the color that it has in the other panes.
const colorsOfEstimates = { simulator: "var(--b)", "half step": "color-mix(in srgb, var(--b) 45%, var(--pane))", critics: "var(--a)" };
const colorOfEstimate = (i) => colorsOfEstimates[estimates[i].name] || ["var(--c)", "var(--e)", "var(--d)"][i % 3];
const nameOfEstimate = (name) => name === "simulator" ? "simulator (the true one)" : name === "half step" ? "simulator, differences half as wide"
  : name.startsWith("model ") ? `world model, ${name.slice(6)} step${name === "model 1" ? "" : "s"}` : name;
const agreement = (name, k) => {
  const found = estimates.find((each) => each.name === name);
  return found ? { cosine: found.cosine[k], size: found.size[k] } : { cosine: null, size: null };
};

function ticksOfActions() {
  const room = (W - edge.left - edge.right) / numActions, names = data.actionNames;
  const fit = names && Math.max(...names.map((name) => name.length)) * 6.5 < room;
  const each = Math.ceil(22 / room);
  return Array.from({ length: numActions }, (_, j) => [j + 1, fit ? names[j] : String(j + 1)]).filter((_, j) => j % each === 0);
}

function slopes(k) {
  const [truth] = estimates, errors = data.slopes.error[k];
  const whiskers = errors.flatMap((e, j) => e === null ? [] : [-2, 2].map((side) => truth.slope[k][j] + side * e));
  const ends = range([0, ...whiskers, ...estimates.flatMap((each) => each.slope[k])], 0.1);
  const p = plot([0.4, numActions + 0.6], ends, "component of the action", "return per unit of action", 300, ticksOfActions());
  const wide = 0.8 / estimates.length;
  let inside = "";
  estimates.forEach((each, i) => each.slope[k].forEach((v, j) => {
    if (v === null) return;
    const left = p.x(j + 0.6 + i * wide), right = p.x(j + 0.6 + (i + 0.9) * wide), [top, foot] = [p.y(0), p.y(v)].sort((a, b) => a - b);
    inside += `<rect x="${p.f(left)}" width="${p.f(right - left)}" y="${p.f(top)}" height="${p.f(Math.max(0.5, foot - top))}" style="fill:${colorOfEstimate(i)}"/>`;
    if (i === 0 && errors[j]) inside += `<line x1="${p.f((left + right) / 2)}" x2="${p.f((left + right) / 2)}" y1="${p.f(p.y(v - 2 * errors[j]))}" y2="${p.f(p.y(v + 2 * errors[j]))}" style="stroke:var(--text);stroke-width:1.5"/>`;
  }));
  inside += p.line([[0.4, 0], [numActions + 0.6, 0]], "stroke:var(--soft);stroke-width:1");
  return p.whole(inside, `Action gradients at step ${data.times[k]}`);
}

function tableOfSlopes(k) {
  const rows = estimates.map((each, i) => `<tr><td>${key(colorOfEstimate(i), nameOfEstimate(each.name))}</td><td>${told(each.cosine[k])}</td><td>${told(each.size[k])}</td></tr>`);
  return `<table><thead><tr><th scope="col">slope of</th><th scope="col">cosine with the true one</th><th scope="col">size, true = 1</th></tr></thead><tbody>${rows.join("")}</tbody></table>`;
}

// Where differences half as wide give another slope, the return is too rough for slopes.
function slopesNow(k) {
  const half = agreement("half step", k), { cosine } = agreement("critics", k);
  const rough = half.cosine === null || half.cosine < 0.8 || half.size < 0.67 || half.size > 1.5;
  if (rough) return "the true slope is not to be trusted here: differences half as wide give another one";
  return cosine === null ? "the critics have no slope" : `climbing the critics' slope ${cosine > 0 ? "raises" : "lowers"} the true return`;
}

function showSlopes(k) {
  get("slopes").innerHTML = slopes(k) + tableOfSlopes(k);
  get("slopes-now").textContent = `At step ${data.times[k]} ${slopesNow(k)}.`;
}

function explainSlopes() {
  const models = estimates.some((each) => each.name.startsWith("model "));
  get("slopes-text").textContent = "Bars: how the return changes per unit of each component of the action. The simulator's slope is taken by differences in the task itself"
    + (data.rollouts ? (data.slopes.error.flat().some((e) => e > 0) ? ", averaged over its noise (thin lines: two standard errors)" : "") : ", along one continuation")
    + ". The policy climbs the critics' slope: cosine 1 is the right direction, 0 is of no use, below 0 the policy is made worse."
    + (models ? " The world model's slope has that many of its own transitions, with the critics behind them." : "")
    + " Where the return is rough, as with contacts, the true slope is an accident of how wide the differences are: then its second row is far from 1, and the others say nothing."
    + " Near a bound the action is moved inside by the step of the differences.";
}
