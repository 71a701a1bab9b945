// The page as a whole: its title, the slider, the keys.

// The last step up to t at which all panes were computed, by its number.
function lookAt(t) {
  let k = data.times.length - 1;
  while (k > 0 && data.times[k] > t) k--;
  return k;
}

let shownLook = null;

function show(t) {
  const k = lookAt(t), seconds = data.motion ? `, ${told(t * data.motion.dt)} s` : "", few = numActions <= 8;
  get("slider").setAttribute("aria-valuetext", `step ${t} of ${steps - 1}`);
  get("now").textContent = `step ${t} of ${steps - 1}${seconds} · reward ${told(data.rewards[t])} ${few ? ` · action ${data.actions[t].map(told).join(", ")}` : ""}`;
  showBody(t);
  showFan(t, k);
  if (k === shownLook) return;
  showCloud(k);
  showSlopes(k);
  shownLook = k;
}

function explain() {
  get("title").textContent = `${data.run}, seed ${data.seed}`;
  get("about").textContent = `${data.task}${data.noisy ? " with its noise" : ""}: one episode of ${steps} steps${data.terminated ? ", which ends in a termination" : ""}, by the policy as of ${data.envSteps} environment steps of training. `
    + `The undiscounted return is ${told(data.rewards.reduce((sum, r) => sum + r, 0))}; below, returns are discounted by ${data.gamma} per step. Move the slider to see what the agent did, and what it expected, at each step.`;
  get("component").innerHTML = Array.from({ length: numActions }, (_, j) => `<option value="${j + 1}">${escape(nameOfAction(j))}</option>`).join("");
  explainFan();
  explainCloud();
  explainSlopes();
}

function begin() {
  const slider = get("slider"), last = steps - 1, looks = data.times;
  const go = (t) => { slider.value = String(Math.max(0, Math.min(last, t))); show(Number(slider.value)); };
  const redraw = () => { shownLook = null; W = Math.max(280, Math.round(get("fan").clientWidth)); show(Number(slider.value)); };
  // The look that lies so many looks before or after; back from between two looks leads to the former.
  const move = (by) => {
    const t = Number(slider.value), k = lookAt(t), back = by < 0 && t > looks[k] ? 1 : 0;
    go(looks[Math.max(0, Math.min(looks.length - 1, k + by + back))]);
  };
  let playing = null;
  const play = () => {
    if (playing) clearInterval(playing);
    const dt = data.motion && data.motion.times.length === steps ? data.motion.dt : null, by = dt ? Math.max(1, Math.round(0.04 / dt)) : 1;
    playing = playing ? null : setInterval(() => go(Number(slider.value) === last ? 0 : Math.min(last, Number(slider.value) + by)), dt ? 1000 * by * dt : 100);
    get("play").textContent = playing ? "Stop" : "Play";
  };
  const keys = {
    ArrowLeft: () => move(-1), ArrowDown: () => move(-1), ArrowRight: () => move(1), ArrowUp: () => move(1),
    PageUp: () => move(-10), PageDown: () => move(10), Home: () => go(0), End: () => go(last), " ": play,
  };
  slider.max = String(last);
  slider.addEventListener("input", () => show(Number(slider.value)));
  get("component").addEventListener("change", redraw);
  get("play").addEventListener("click", play);
  window.addEventListener("resize", redraw);
  document.addEventListener("keydown", (event) => {
    const within = event.target.tagName, own = within === "SELECT" || (event.key === " " && (within === "BUTTON" || within === "SUMMARY"));
    if (own || !(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (event.shiftKey && event.key.startsWith("Arrow")) go(Number(slider.value) + (event.key === "ArrowLeft" || event.key === "ArrowDown" ? -1 : 1));
    else keys[event.key]();
  });
  explain();
  beginBody(() => showBody(Number(slider.value)));
  redraw();
}

begin();
