"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const floats = (text) =>
  new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const X = floats(data.x), Y = floats(data.y), N = X.length;
const columns = data.columns.map((c) => ({ ...c, values: floats(c.values) }));
const TAU = 2 * Math.PI, NEAR = 12, SHOWN = 60, ROWS = 12, GREY = "#c4c9d0";

// The view maps data to pixels: px = x * scale + left, py = top - y * scale.
const plane = $("plane"), canvas = plane.querySelector("canvas"), ctx = canvas.getContext("2d");
let view = null, width = 0, height = 0, tool = "pan", polygon = null, hovered = -1;
let selected = new Set(), groups = [], waiting = false;

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) { low = Math.min(low, v); high = Math.max(high, v); }
  return [low, high];
}
function fit() {
  const [x0, x1] = extent(X), [y0, y1] = extent(Y), margin = 40;
  const scale = Math.min((width - 2 * margin) / (x1 - x0 || 1),
                         (height - 2 * margin) / (y1 - y0 || 1));
  view = { scale, home: scale, left: width / 2 - scale * (x0 + x1) / 2,
           top: height / 2 + scale * (y0 + y1) / 2 };
}
const px = (i) => X[i] * view.scale + view.left;
const py = (i) => view.top - Y[i] * view.scale;

// Points of one color are drawn as one path, which keeps 10,000 of them smooth.
function regroup() {
  const column = columns[$("color").selectedIndex], known = new Map();
  const missing = [];
  for (let i = 0; i < N; i++) {
    const v = column.values[i];
    if (!Number.isFinite(v)) { missing.push(i); continue; }
    const color = column.names ? data.palette[v % data.palette.length]
      : data.map[Math.round(255 * Math.min(1, Math.max(0, (v - column.low) /
                                                        (column.high - column.low || 1))))];
    if (!known.has(color)) known.set(color, []);
    known.get(color).push(i);
  }
  groups = [[GREY, missing], ...known];
  legend(column, missing.length);
}
function legend(column, missing) {
  const bar = $("bar"), ends = document.querySelector(".ends"), list = $("classes");
  $("what").textContent = column.label;
  bar.hidden = ends.hidden = Boolean(column.names);
  bar.style.display = column.names ? "none" : "block";
  ends.style.display = column.names ? "none" : "flex";
  list.replaceChildren();
  const item = (color, text) => {
    const row = document.createElement("div"), dot = document.createElement("i");
    dot.style.background = color;
    row.append(dot, text);
    list.append(row);
  };
  if (column.names) {
    column.names.forEach((name, k) => {
      const count = column.values.reduce((s, v) => s + (v === k), 0);
      if (count) item(data.palette[k % data.palette.length], `${name} (${count})`);
    });
  } else {
    const paint = bar.getContext("2d");
    data.map.forEach((c, k) => { paint.fillStyle = c; paint.fillRect(k, 0, 1, 1); });
    const marks = [column.low, (column.low + column.high) / 2, column.high];
    ends.replaceChildren(...marks.map((v) => {
      const mark = document.createElement("span");
      mark.textContent = number(v);
      return mark;
    }));
  }
  if (missing) item(GREY, `unknown (${missing})`);
}
function number(v) { return Number.isFinite(v) ? String(Number(v.toPrecision(4))) : "unknown"; }

function draw() {
  waiting = false;
  const ratio = window.devicePixelRatio || 1;
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  const base = N > 3000 ? 2 : N > 500 ? 3 : 4.5;
  const radius = base * Math.min(3, Math.sqrt(view.scale / view.home));
  ctx.globalAlpha = selected.size ? 0.25 : 0.85;
  for (const [color, members] of groups) dots(color, members, radius);
  if (selected.size) {
    ctx.globalAlpha = 1;
    for (const [color, members] of groups)
      dots(color, members.filter((i) => selected.has(i)), radius + 0.7);
  }
  ctx.globalAlpha = 1;
  ctx.strokeStyle = "#1b1f24";
  if (hovered >= 0) {
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.arc(px(hovered), py(hovered), radius + 4, 0, TAU);
    ctx.stroke();
  }
  if (polygon) {
    ctx.lineWidth = 1.5;
    ctx.fillStyle = "#0969da22";
    ctx.beginPath();
    polygon.forEach(([x, y]) => ctx.lineTo(x, y));
    ctx.closePath();
    ctx.fill();
    ctx.stroke();
  }
}
function dots(color, members, radius) {
  ctx.fillStyle = color;
  ctx.beginPath();
  for (const i of members) {
    const x = px(i), y = py(i);
    if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
    ctx.moveTo(x + radius, y);
    ctx.arc(x, y, radius, 0, TAU);
  }
  ctx.fill();
}
function redraw() { if (!waiting) { waiting = true; requestAnimationFrame(draw); } }
function resize() {
  const ratio = window.devicePixelRatio || 1, old = [width, height];
  width = plane.clientWidth;
  height = plane.clientHeight;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  if (view) { view.left += (width - old[0]) / 2; view.top += (height - old[1]) / 2; } else fit();
  redraw();
}

// A sheet of thumbnails is decoded when one of its objects is first shown.
const sheets = [];
function sheet(k) {
  if (!sheets[k]) {
    const image = new Image();
    image.src = data.sheets[k];
    sheets[k] = image.decode().then(() => image);
  }
  return sheets[k];
}
async function thumbnail(i, target) {
  const per = data.per_row * data.per_row, k = Math.floor(i / per), s = data.side;
  target.width = target.height = s;
  target.dataset.object = i;
  const image = await sheet(k);
  if (target.dataset.object !== String(i)) return;
  const at = i % per;
  target.getContext("2d").drawImage(image, (at % data.per_row) * s,
    Math.floor(at / data.per_row) * s, s, s, 0, 0, s, s);
}
function nearest(x, y) {
  let best = -1, least = NEAR * NEAR;
  for (let i = 0; i < N; i++) {
    const dx = px(i) - x, dy = py(i) - y, d = dx * dx + dy * dy;
    if (d < least) { least = d; best = i; }
  }
  return best;
}
function hover(i) {
  hovered = i;
  const card = $("card");
  card.hidden = i < 0;
  redraw();
  if (i < 0) return;
  const picture = card.querySelector("canvas");
  picture.hidden = !data.sheets.length;
  if (data.sheets.length) thumbnail(i, picture);
  const table = document.createElement("table");
  const row = (name, value) => {
    const tr = table.insertRow();
    tr.insertCell().textContent = name;
    tr.insertCell().textContent = value;
  };
  row("id", data.ids[i]);
  const first = columns[$("color").selectedIndex];
  const rows = new Set(first ? [first, ...columns] : columns);
  for (const c of [...rows].slice(0, ROWS)) row(c.label, text(c, i));
  card.querySelector("div").replaceChildren(table);
  const right = px(i) + 16, below = py(i) + 16;
  card.style.left = `${right + card.offsetWidth > width ? right - card.offsetWidth - 32 : right}px`;
  card.style.top = `${Math.max(4, Math.min(below, height - card.offsetHeight - 4))}px`;
}
function text(column, i) {
  const v = column.values[i];
  return column.names && Number.isFinite(v) ? column.names[v] : number(v);
}

function inside(shape, x, y) {
  let odd = false;
  for (let a = 0, b = shape.length - 1; a < shape.length; b = a++) {
    const [xa, ya] = shape[a], [xb, yb] = shape[b];
    if ((ya > y) !== (yb > y) && x < (xb - xa) * (y - ya) / (yb - ya) + xa) odd = !odd;
  }
  return odd;
}
function select(members) {
  selected = new Set(members);
  const chosen = [...selected], gallery = $("gallery");
  $("count").textContent = chosen.length;
  $("ids").value = chosen.map((i) => data.ids[i]).join("\n");
  for (const id of ["copy", "save", "clear"]) $(id).disabled = !chosen.length;
  gallery.replaceChildren(...(data.sheets.length ? chosen.slice(0, SHOWN) : []).map((i) => {
    const tile = document.createElement("canvas");
    tile.title = data.ids[i];
    tile.onclick = () => hover(i);
    thumbnail(i, tile);
    return tile;
  }));
  redraw();
}
// As `files.write_csv`: a spreadsheet would run such text as a formula.
const FORMULA = /^[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
function quoted(value) {
  let cell = String(value);
  if (FORMULA.test(cell) && !NUMBER.test(cell)) cell = `'${cell}`;
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}
function csv() {
  const head = ["id", ...columns.map((c) => c.name)];
  const cell = (c, i) => (Number.isFinite(c.values[i]) ? text(c, i) : "");
  const rows = [...selected].map((i) => [data.ids[i], ...columns.map((c) => cell(c, i))]);
  return [head, ...rows].map((r) => r.map(quoted).join(",")).join("\n") + "\n";
}

function choose(name) {
  tool = name;
  for (const id of ["pan", "lasso"]) $(id).setAttribute("aria-pressed", String(id === name));
  plane.classList.toggle("lasso", name === "lasso");
}
const at = (event) => {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};
let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  drag = at(event);
  if (tool === "lasso" || event.shiftKey) polygon = [drag];
  hover(-1);
});
canvas.addEventListener("pointermove", (event) => {
  const [x, y] = at(event);
  if (polygon) polygon.push([x, y]);
  else if (drag) {
    view.left += x - drag[0];
    view.top += y - drag[1];
    drag = [x, y];
  } else {
    const i = nearest(x, y);
    if (i !== hovered) hover(i);
    return;
  }
  redraw();
});
canvas.addEventListener("pointerup", () => {
  if (polygon) {
    const members = [];
    for (let i = 0; i < N; i++) if (inside(polygon, px(i), py(i))) members.push(i);
    polygon = null;
    select(members);
  }
  drag = null;
});
canvas.addEventListener("pointerleave", () => { if (!drag) hover(-1); });
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const [x, y] = at(event);
  const wanted = view.scale * Math.exp(-event.deltaY * 0.0015);
  const scale = Math.min(view.home * 200, Math.max(view.home * 0.5, wanted));
  const factor = scale / view.scale;
  view = { ...view, scale, left: x - (x - view.left) * factor, top: y - (y - view.top) * factor };
  hover(-1);
}, { passive: false });
$("pan").onclick = () => choose("pan");
$("lasso").onclick = () => choose("lasso");
$("reset").onclick = () => { fit(); hover(-1); };
$("clear").onclick = () => select([]);
$("copy").onclick = async () => {
  // A page opened from a file may have no clipboard; the marked list can be copied by hand.
  $("ids").select();
  if (navigator.clipboard) await navigator.clipboard.writeText($("ids").value).catch(() => {});
};
$("save").onclick = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "selected.csv";
  link.click();
  URL.revokeObjectURL(link.href);
};
$("find").onchange = () => {
  const i = data.ids.indexOf($("find").value.trim());
  $("find").style.color = i < 0 ? "#cf222e" : "";
  if (i >= 0) {
    view.left += width / 2 - px(i);
    view.top += height / 2 - py(i);
  }
  hover(i);
};
$("color").onchange = () => { regroup(); redraw(); };
document.addEventListener("keydown", (event) => {
  if (/INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
  const press = { p: "pan", l: "lasso", r: "reset", Escape: "clear" }[event.key];
  if (press) $(press).click();
});

$("total").textContent = N;
for (const c of columns) $("color").add(new Option(c.label, c.name));
if (columns.length) regroup(); else groups = [["#0969da", [...X.keys()]]];
$("color").disabled = !columns.length;
window.addEventListener("resize", resize);
resize();
