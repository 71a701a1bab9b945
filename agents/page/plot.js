"use strict";
// What the panes share: numbers as text, ranges, and plots with axes.

const data = JSON.parse(document.getElementById("data").textContent);
const get = (id) => document.getElementById(id);
const edge = { left: 62, right: 14, top: 12, bottom: 42 };
const escape = (text) => String(text).replace(/[&<>"]/g, (c) => "&#" + c.charCodeAt(0) + ";");
const known = (values) => values.filter((x) => x !== null);
const mean = (values) => values.reduce((sum, x) => sum + x, 0) / values.length;
const steps = data.actions.length, numActions = data.actions[0].length;
let W = 560;  // pixels of a pane; text keeps its size on narrow screens

const nameOfAction = (j) => data.actionNames ? `action ${j + 1}, ${data.actionNames[j]}` : `action ${j + 1}`;

function told(x) {
  if (x === null || x === undefined) return "unknown";
  const size = Math.abs(x);
  const text = size !== 0 && (size >= 1e4 || size < 1e-3) ? x.toExponential(1) : String(Number(x.toPrecision(3)));
  return text.replace("-", "−");
}

function range(values, margin = 0.06) {
  let low = Infinity, high = -Infinity;
  for (const x of values) if (x !== null) { low = Math.min(low, x); high = Math.max(high, x); }
  if (!(low <= high)) return [0, 1];
  const more = (high - low || Math.abs(high) || 1) * margin;
  return [low - more, high + more];
}

function ticks([low, high], count = 5) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(i * step);
  return found;
}

// Two ranges, the smaller one made larger, so that a unit is as long in both directions.
function alike(ranges, height) {
  const room = [W - edge.left - edge.right, height - edge.top - edge.bottom];
  const unit = Math.max(...ranges.map(([low, high], i) => (high - low) / room[i]));
  return ranges.map(([low, high], i) => [-0.5, 0.5].map((side) => (low + high) / 2 + side * unit * room[i]));
}

const svg = (height, inside, label, extra = "") => `<svg viewBox="0 0 ${W} ${height}" role="img" aria-label="${escape(label)}"${extra}>${inside}</svg>`;

// Scales of a plot from values to pixels, with its axes and their names.
function plot(xs, ys, nameX, nameY, height = 330, ticksX = ticks(xs, W < 450 ? 4 : 6).map((t) => [t, told(t)])) {
  const right = W - edge.right, bottom = height - edge.bottom;
  const x = (v) => edge.left + (v - xs[0]) / (xs[1] - xs[0]) * (right - edge.left);
  const y = (v) => bottom - (v - ys[0]) / (ys[1] - ys[0]) * (bottom - edge.top);
  const f = (v) => v.toFixed(1);
  let axes = "";
  for (const [t, text] of ticksX) axes += `<line class="axis" x1="${f(x(t))}" x2="${f(x(t))}" y1="${edge.top}" y2="${bottom}"/>`
    + `<text class="tick" x="${f(x(t))}" y="${bottom + 15}" text-anchor="middle">${escape(text)}</text>`;
  for (const t of ticks(ys)) axes += `<line class="axis" x1="${edge.left}" x2="${right}" y1="${f(y(t))}" y2="${f(y(t))}"/>`
    + `<text class="tick" x="${edge.left - 6}" y="${f(y(t) + 4)}" text-anchor="end">${told(t)}</text>`;
  axes += `<text x="${(edge.left + right) / 2}" y="${height - 6}" text-anchor="middle">${escape(nameX)}</text>`
    + `<text transform="translate(13 ${(edge.top + bottom) / 2}) rotate(-90)" text-anchor="middle">${escape(nameY)}</text>`;
  const line = (points, style) => `<polyline fill="none" style="${style}" points="${points.filter(([a, b]) => a !== null && b !== null)
    .map(([a, b]) => f(x(a)) + "," + f(y(b))).join(" ")}"/>`;
  const area = (points, style) => `<polygon style="${style}" points="${points.map(([a, b]) => f(x(a)) + "," + f(y(b))).join(" ")}"/>`;
  const dot = (a, b, r, style) => a === null || b === null ? "" : `<circle cx="${f(x(a))}" cy="${f(y(b))}" r="${r}" style="${style}"/>`;
  const whole = (inside, label) => svg(height, axes + inside, label);
  return { x, y, f, top: edge.top, bottom, right, line, area, dot, whole };
}

const cursor = (p, t) => `<line x1="${p.f(p.x(t))}" x2="${p.f(p.x(t))}" y1="${p.top}" y2="${p.bottom}" style="stroke:var(--mark);stroke-width:1.5"/>`;
const key = (color, text, kind = "") => `<span><span class="key ${kind}" style="${kind === "ring" ? "border-color" : "background"}:${color}"></span>${escape(text)}</span>`;
