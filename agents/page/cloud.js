// Samples of return and action gradient at one step, and the returns of the simulator above the same axis.

const returnsOf = (rows) => rows.map((z) => z[0]);

function histogram(p, values, [low, high], color, bins = 36) {
  const counts = Array(bins).fill(0), foot = p.top + 74;
  for (const v of known(values)) counts[Math.min(bins - 1, Math.max(0, Math.floor((v - low) / (high - low) * bins)))] += 1;
  const tallest = Math.max(...counts), width = (high - low) / bins;
  return counts.map((c, i) => c === 0 ? "" : `<rect x="${p.f(p.x(low + i * width))}" width="${p.f(p.x(low + width) - p.x(low))}" `
    + `y="${p.f(foot - 70 * c / tallest)}" height="${p.f(70 * c / tallest)}" style="fill:${color};opacity:0.5"/>`).join("");
}

function directionLine(p, k, j, part) {
  const u = data.direction[k], dx = u[0] / data.scales[0], dy = u[j] / data.scales[j];
  const px = p.x(dx) - p.x(0), py = p.y(dy) - p.y(0), length = Math.hypot(px, py);
  const cx = p.x(mean(returnsOf(data.samples[k]))), cy = p.y(mean(part));
  return length === 0 ? "" : `<line x1="${p.f(cx - 55 * px / length)}" y1="${p.f(cy - 55 * py / length)}" x2="${p.f(cx + 55 * px / length)}" `
    + `y2="${p.f(cy + 55 * py / length)}" style="stroke:var(--d);stroke-width:3"/>`;
}

function cloud(k) {
  const j = Number(get("component").value), samples = data.samples[k], target = data.target ? data.target[k] : [];
  const followed = data.followed[data.times[k]], rollouts = data.rollouts ? data.rollouts[k] : [];
  const xs = range([...returnsOf(samples), ...returnsOf(target), ...rollouts, followed]), part = samples.map((z) => z[j]);
  const [low, high] = range([...part, ...target.map((z) => z[j])]);
  // A quarter of the plot is left above the cloud for the histograms.
  const p = plot(xs, [low, high + 0.34 * (high - low)], "discounted return from here on", "return per unit of action", 400);
  let inside = histogram(p, rollouts, xs, "var(--b)") + histogram(p, returnsOf(samples), xs, "var(--a)");
  inside += `<line x1="${p.f(p.x(followed))}" x2="${p.f(p.x(followed))}" y1="${p.top}" y2="${p.bottom}" style="stroke:var(--b);stroke-width:1.5;stroke-dasharray:5 3"/>`;
  for (const z of target) inside += p.dot(z[0], z[j], 3, "fill:none;stroke:var(--c);stroke-width:1.4");
  for (const z of samples) inside += p.dot(z[0], z[j], 2.2, "fill:var(--a);opacity:0.6");
  if (data.direction) inside += directionLine(p, k, j, part);
  return p.whole(inside, `The critics' mean return is ${told(mean(returnsOf(samples)))}`);
}

// The components of a sample in which critic and target differ most, by the square of the direction's entry.
function sharesOf(direction) {
  const name = (i) => i === 0 ? "the return" : i <= numActions ? `the slope along ${nameOfAction(i - 1)}` : `the slope along state ${i - numActions}`;
  const parts = direction.map((u, i) => [name(i), u * u]).sort((a, b) => b[1] - a[1]);
  return parts.slice(0, 3).map(([text, share]) => `${Math.round(100 * share)}% ${text}`).join(", ");
}

function cloudNow(k) {
  const returns = returnsOf(data.samples[k]), [low, high] = range(returns, 0);
  const spread = high - low <= 1e-6 * Math.abs(high) ? "all samples alike" : `samples from ${told(low)} to ${told(high)}`;
  let text = `At step ${data.times[k]}: critics' mean return <b>${told(mean(returns))}</b> (${spread})`;
  if (data.rollouts) text += `, simulator's <b>${told(mean(data.rollouts[k]))}</b>`;
  text += `, followed <b>${told(data.followed[data.times[k]])}</b>.`;
  return data.direction ? `${text} The direction is ${escape(sharesOf(data.direction[k]))}.` : text;
}

function showCloud(k) {
  get("cloud").innerHTML = cloud(k);
  get("cloud-now").innerHTML = cloudNow(k);
}

function explainCloud() {
  get("cloud-legend").innerHTML = key("var(--a)", "critics") + (data.target ? key("var(--c)", "their targets", "ring") : "")
    + (data.rollouts ? key("var(--b)", "simulator's returns") : "") + key("var(--b)", "what followed in this episode (dashed)", "stroke")
    + (data.direction ? key("var(--d)", "direction of max-slicing", "stroke") : "");
  const count = data.rollouts ? data.rollouts[0].length : 0;
  let text = "Each dot is one sample of a critic: a return that it holds possible after the action that is taken here, and how that return would change with "
    + "one component of the action. The bars above count the returns, each set to its own height. ";
  text += count > 1
    ? `The simulator's are ${count} continuations from this very state, with the same action first and the policy after it, each with its own noise; they should cover the same returns as the critics'. They have no slope each.`
    : count === 1
    ? "The task draws nothing at random, so its return from here is one number."
    : "This task is stepped on the host, where a state cannot be continued many times: of the simulator there is the return that followed.";
  if (data.target) text += " Circles are the targets towards which the first critic is being pulled at this step: reward plus discounted prediction at the next state.";
  if (data.direction) text += " The metric compares the two along the single direction in which they differ most (max-slicing); the line is this direction as it lies in the plane shown.";
  get("cloud-text").textContent = text;
}
