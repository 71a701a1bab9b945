// Quantiles of the return that the critics predict along the episode, and the return that followed.

const quantilesAt = (k) => data.quantiles[k], centre = Math.floor(data.levels.length / 2);

function fan(t, k) {
  const q = data.quantiles, n = data.levels.length;
  const p = plot([0, Math.max(1, steps - 1)], range([...q.flat(), ...data.followed]), "step of the episode", "discounted return");
  let inside = "";
  for (let i = 0; i < centre; i++) {
    const up = q.map((row, j) => [data.times[j], row[n - 1 - i]]), down = q.map((row, j) => [data.times[j], row[i]]);
    inside += p.area([...up, ...down.reverse()], `fill:var(--a);opacity:${0.2 + 0.15 * i}`);
  }
  inside += p.line(q.map((row, j) => [data.times[j], row[centre]]), "stroke:var(--a);stroke-width:2");
  inside += p.line(data.followed.map((g, i) => [i, g]), "stroke:var(--b);stroke-width:1.5");
  return p.whole(inside + cursor(p, t) + p.dot(t, data.followed[t], 4, "fill:var(--b)") + p.dot(data.times[k], q[k][centre], 4, "fill:var(--a)"),
    `At step ${t} the median is ${told(q[k][centre])}, and ${told(data.followed[t])} followed`);
}

function showFan(t, k) {
  const q = data.quantiles[k], n = data.levels.length;
  get("fan").innerHTML = fan(t, k);
  get("fan-now").innerHTML = `At step ${data.times[k]} expected: median <b>${told(q[centre])}</b>, 90% band ${told(q[0])} to ${told(q[n - 1])}. `
    + `True from step ${t}: <b>${told(data.followed[t])}</b>`;
}

function explainFan() {
  const percent = (i) => `${Math.round(100 * (data.levels[data.levels.length - 1 - i] - data.levels[i]))}%`;
  get("fan-legend").innerHTML = key("var(--a)", "critics, median", "stroke")
    + Array.from({ length: centre }, (_, i) => key(`color-mix(in srgb, var(--a) ${[25, 55][i] || 55}%, var(--pane))`, `critics, middle ${percent(i)}`)).join("")
    + key("var(--b)", "true: what followed in this episode", "stroke") + key("var(--mark)", "this step", "stroke");
  const beyond = ` A return sums up to ${data.horizon} rewards, also those behind the time limit.`;
  get("fan-text").textContent = `What ${data.critics === 1 ? "the critic" : `the ${data.critics} critics together`} predicted at each step for the return from there on, and what it came to be.${beyond} `
    + "Good critics have the true return within the light band nine times in ten; above it they are too pessimistic, below it too optimistic."
    + (data.goesOn ? "" : " This task ends at its own time limit, so near the end the true return lacks what would have followed.");
}
