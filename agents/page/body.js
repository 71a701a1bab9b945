// The body, or the place of a point, or the components of the observation.

// A body of solids, drawn without perspective: the picture of each solid is the hull of some points of its outline.
const turn = { azimuth: 0, elevation: 0 };  // of the camera, in degrees; azimuth 0 looks along y
const views = { side: [0, 12], above: [0, 90], oblique: [35, 25] };

function rotated([w, x, y, z], [a, b, c]) {
  const tx = 2 * (y * c - z * b), ty = 2 * (z * a - x * c), tz = 2 * (x * b - y * a);
  return [a + w * tx + y * tz - z * ty, b + w * ty + z * tx - x * tz, c + w * tz + x * ty - y * tx];
}

function axesOfCamera() {
  const a = turn.azimuth * Math.PI / 180, e = turn.elevation * Math.PI / 180;
  return {
    right: [Math.cos(a), Math.sin(a), 0],
    up: [-Math.sin(a) * Math.sin(e), Math.cos(a) * Math.sin(e), Math.cos(e)],
    near: [Math.sin(a) * Math.cos(e), -Math.cos(a) * Math.cos(e), Math.sin(e)],
  };
}

const dot3 = (u, v) => u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
const circle = Array.from({ length: 20 }, (_, i) => [Math.cos(i * Math.PI / 10), Math.sin(i * Math.PI / 10)]);

// Balls, as centre and radius, whose hull is the solid, in its own axes.
function ballsOf({ kind, size: [a, b, c] }) {
  if (kind === "sphere") return [[[0, 0, 0], a]];
  if (kind === "capsule") return [[[0, 0, b], a], [[0, 0, -b], a]];
  if (kind === "cylinder") return circle.flatMap(([x, y]) => [[[a * x, a * y, b], 0], [[a * x, a * y, -b], 0]]);
  if (kind === "box") return [-1, 1].flatMap((i) => [-1, 1].flatMap((j) => [-1, 1].map((k) => [[i * a, j * b, k * c], 0])));
  return circle.slice(0, 11).flatMap(([z, r]) => circle.map(([x, y]) => [[a * r * x, b * r * y, c * z], 0]));  // an ellipsoid
}

function hull(points) {
  points.sort((p, q) => p[0] - q[0] || p[1] - q[1]);
  const half = (order) => {
    const found = [];
    for (const p of order) {
      while (found.length > 1) {
        const [o, q] = found.slice(-2);
        if ((q[0] - o[0]) * (p[1] - o[1]) - (q[1] - o[1]) * (p[0] - o[0]) > 0) break;
        found.pop();
      }
      found.push(p);
    }
    return found.slice(0, -1);
  };
  return [...half(points), ...half(points.slice().reverse())];
}

const middle = (pose) => [0, 1, 2].map((i) => mean(pose.map((place) => place[i])));
const radius = ({ kind, size }) => kind === "sphere" ? size[0] : kind === "capsule" ? size[0] + size[1]
  : kind === "cylinder" ? Math.hypot(size[0], size[1]) : Math.hypot(...size);

// Where the camera looks: at a body that stays in its place from one point, and along with one that travels.
function makeCamera(motion) {
  const centres = motion.poses.map(middle);
  const reach = Math.max(...motion.poses.map((pose, i) => Math.max(...pose.map((place, j) => Math.hypot(...[0, 1, 2].map((d) => place[d] - centres[i][d])) + radius(motion.solids[j])))));
  const ends = [0, 1, 2].map((d) => range(centres.map((c) => c[d]), 0)), still = ends.map(([low, high]) => (low + high) / 2);
  const follows = Math.max(...ends.map(([low, high]) => high - low)) > 1.5 * reach;
  return { centres, reach, follows, at: (i) => follows ? [centres[i][0], centres[i][1], still[2]] : still };
}

// How far the body reaches to the right and upwards from where the camera looks, over the episode, as it is seen.
const fitted = { view: "", extents: null };

function extentsOf(motion, { right, up }) {
  const view = `${turn.azimuth} ${turn.elevation}`;
  if (fitted.view === view) return fitted.extents;
  const extents = [0, 0], radii = motion.solids.map(radius);
  motion.poses.forEach((pose, i) => {
    const target = camera.at(i);
    pose.forEach((place, j) => {
      const from = [0, 1, 2].map((d) => place[d] - target[d]);
      [right, up].forEach((axis, d) => { extents[d] = Math.max(extents[d], Math.abs(dot3(from, axis)) + radii[j]); });
    });
  });
  Object.assign(fitted, { view, extents });
  return extents;
}

// A body that moves in a plane is looked at from where this plane is seen.
function usualView(motion) {
  const spread = [1, 2].map((d) => Math.max(...motion.solids.map((_, j) => {
    const [low, high] = range(motion.poses.map((pose) => pose[j][d]), 0);
    return high - low;
  })));
  return spread[0] < 0.02 * spread[1] ? "side" : spread[1] < 0.02 * spread[0] ? "above" : "oblique";
}

const camera = data.motion && makeCamera(data.motion);

// The last time up to t at which there is a pose.
function poseAt(t) {
  let i = data.motion.times.length - 1;
  while (i > 0 && data.motion.times[i] > t) i--;
  return i;
}

// A part of the ground around where the camera looks, narrow where it is seen from the side.
function groundOf(target, place, height, scale) {
  const far = 0.75 * Math.max(W, height) / scale, deep = turn.elevation < 20 && Math.abs(turn.azimuth) < 20 ? Math.min(far, 0.8 * camera.reach) : far;
  const step = ticks([0, far], 4)[1], xs = [target[0] - far, target[0] + far], ys = [target[1] - deep, target[1] + deep];
  const at = (x, y) => place([x, y, data.motion.ground]).map((v) => v.toFixed(1)).join(",");
  let inside = `<polygon points="${[at(xs[0], ys[0]), at(xs[1], ys[0]), at(xs[1], ys[1]), at(xs[0], ys[1])].join(" ")}" style="fill:var(--ground)"/>`;
  const lines = ([low, high]) => Array.from({ length: Math.floor(high / step) - Math.ceil(low / step) + 1 }, (_, i) => (Math.ceil(low / step) + i) * step);
  for (const x of lines(xs)) inside += `<polyline class="axis" fill="none" points="${at(x, ys[0])} ${at(x, ys[1])}"/>`;
  for (const y of lines(ys)) inside += `<polyline class="axis" fill="none" points="${at(xs[0], y)} ${at(xs[1], y)}"/>`;
  return { inside, note: `<text class="note" x="10" y="${height - 10}">lines on the ground: every ${told(step)} m</text>` };
}

function bodyOfSolids(t) {
  const motion = data.motion, height = Math.round(Math.min(400, 0.75 * W)), i = poseAt(t), { right, up, near } = axesOfCamera();
  const target = camera.at(i), [wide, high] = extentsOf(motion, { right, up }), scale = 0.92 * Math.min(W / wide, height / high) / 2;
  const place = (p) => {
    const from = [0, 1, 2].map((d) => p[d] - target[d]);
    return [W / 2 + scale * dot3(from, right), height / 2 - scale * dot3(from, up)];
  };
  const drawn = (solid, pose) => {
    const position = pose.slice(0, 3), quaternion = pose.slice(3), outline = [];
    for (const [centre, r] of ballsOf(solid)) {
      const [x, y] = place(rotated(quaternion, centre).map((v, d) => v + position[d]));
      if (r === 0) outline.push([x, y]); else for (const [c, s] of circle) outline.push([x + scale * r * c, y + scale * r * s]);
    }
    const points = hull(outline).map(([x, y]) => x.toFixed(1) + "," + y.toFixed(1)).join(" ");
    return { depth: dot3(position, near), text: `<polygon points="${points}" style="fill:rgb(${solid.color});stroke:var(--edge);stroke-width:1.2;stroke-linejoin:round"/>` };
  };
  const all = [...motion.still.map((solid) => drawn(solid, solid.pose)), ...motion.solids.map((solid, j) => drawn(solid, motion.poses[i][j]))];
  const path = camera.centres.slice(0, i + 1).map((c) => place(motion.ground === null ? c : [c[0], c[1], motion.ground]));
  const way = camera.follows ? `<polyline fill="none" points="${path.map(([x, y]) => x.toFixed(1) + "," + y.toFixed(1)).join(" ")}" style="stroke:var(--mark);stroke-width:2;opacity:0.7"/>` : "";
  const floor = motion.ground === null || turn.elevation < 0 ? { inside: "", note: "" } : groundOf(target, place, height, scale);
  const inside = floor.inside + way + all.sort((p, q) => p.depth - q.depth).map((each) => each.text).join("") + floor.note;
  return svg(height, inside, `The body at step ${t}`, ' class="turned"');
}

function bodyNow(t) {
  if (!data.motion) return data.places ? `At step ${t}: position ${data.observations[t].slice(0, 2).map(told).join(", ")}` : "";
  const began = camera.centres[0], here = camera.centres[poseAt(t)], [x, y] = [0, 1].map((d) => here[d] - (camera.follows ? began[d] : 0));
  const place = camera.follows ? `has come ${told(x)} m along x and ${told(y)} m along y` : `is at x ${told(x)} m, y ${told(y)} m`;
  return `At step ${t} the middle of what moves ${place}, ${told(here[2] - (data.motion.ground || 0))} m high`;
}

function bodyOfPoint(t) {
  const path = data.observations.map((s) => [s[0], s[1]]), [px, py] = path[t];
  const [xs, ys] = alike([0, 1].map((i) => range([...data.places, ...path].map((p) => p[i]), 0.25)), 420);
  const p = plot(xs, ys, "position, first coordinate", "position, second coordinate", 420);
  let inside = p.line(path, "stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3") + p.line(path.slice(0, t + 1), "stroke:var(--a);stroke-width:2");
  for (const [a, b] of data.places) inside += p.dot(a, b, 8, "fill:none;stroke:var(--b);stroke-width:2");
  const [ax, ay] = data.actions[t], reach = 0.1 * (ys[1] - ys[0]);
  inside += p.line([[px, py], [px + reach * ax, py + reach * ay]], "stroke:var(--c);stroke-width:3") + p.dot(px, py, 6, "fill:var(--a)");
  return p.whole(inside, `The point is at ${told(px)}, ${told(py)}`);
}

function stripsOfState(t) {
  const count = data.observations[0].length, strip = 34, height = count * strip + 24;
  const x = (i) => 92 + i / Math.max(1, steps - 1) * (W - 166);
  let inside = "";
  for (let j = 0; j < count; j++) {
    const values = data.observations.map((s) => s[j]), [low, high] = range(values);
    const y = (v) => (j + 1) * strip - 5 - (v - low) / (high - low) * (strip - 10);
    inside += `<text x="4" y="${j * strip + 21}">component ${j + 1}</text>`
      + `<polyline fill="none" style="stroke:var(--a);stroke-width:1.5" points="${values.map((v, i) => x(i).toFixed(1) + "," + y(v).toFixed(1)).join(" ")}"/>`
      + `<text x="${W - 4}" y="${j * strip + 21}" text-anchor="end">${told(values[t])}</text>`
      + `<line class="axis" x1="0" x2="${W}" y1="${(j + 1) * strip}" y2="${(j + 1) * strip}"/>`;
  }
  inside += `<line x1="${x(t).toFixed(1)}" x2="${x(t).toFixed(1)}" y1="0" y2="${count * strip}" style="stroke:var(--mark);stroke-width:1.5"/>`
    + `<text class="tick" x="92" y="${height - 6}">step 0</text><text class="tick" x="${W - 74}" y="${height - 6}" text-anchor="end">step ${steps - 1}</text>`;
  return svg(height, inside, `The components of the observation at step ${t}`);
}

const drawBody = data.motion ? bodyOfSolids : data.places ? bodyOfPoint : stripsOfState;

function showBody(t) {
  get("body").innerHTML = drawBody(t);
  get("body-now").textContent = bodyNow(t);
}

function explainBody() {
  const shown = data.observations[0].length, followed = camera && camera.follows;
  get("body-title").textContent = data.motion ? "The body" : data.places ? "Where the point is" : "What the agent observes";
  get("body-text").textContent = data.motion
    ? `The solids of the task's MuJoCo model, in the model's colors, where they are at this step.${followed ? " The camera goes along with the body; the red line is the way that its middle has come." : " The camera stands still."}`
    : data.places
    ? "The point (dot) with its way so far and to come (dashed), the places that may pay (rings), and the force that the action gives it (green), in the first two coordinates, as observed."
    : `Each strip is one component of the observation over the episode, in the task's own units, scaled to its own range; its value at the red line stands on the right${data.observationSize > shown ? `. The first ${shown} of ${data.observationSize} are shown` : ""}.`;
}

// The choice of a view, and turning by dragging; `draw` draws the body anew.
function beginBody(draw) {
  explainBody();
  if (!data.motion) return;
  get("view-choice").hidden = false;
  const choose = () => { [turn.azimuth, turn.elevation] = views[get("view").value]; draw(); };
  get("view").value = usualView(data.motion);
  [turn.azimuth, turn.elevation] = views[get("view").value];
  get("view").addEventListener("change", choose);
  let from = null;
  get("body").addEventListener("pointerdown", (event) => { from = [event.clientX, event.clientY]; get("body").setPointerCapture(event.pointerId); });
  get("body").addEventListener("pointerup", () => { from = null; });
  get("body").addEventListener("pointermove", (event) => {
    if (!from) return;
    turn.azimuth -= 0.5 * (event.clientX - from[0]);
    turn.elevation = Math.max(-20, Math.min(90, turn.elevation + 0.5 * (event.clientY - from[1])));
    from = [event.clientX, event.clientY];
    draw();
  });
}
