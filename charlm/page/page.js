"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const tokens = data.text.tokens;
const bits = data.scores.log_prob.map((nats) => (nats === null ? Infinity : -nats / Math.LN2));
const unit = data.model.unit === "word" ? "token" : "character";
const cells = new Map(data.cells.shown.map((one) => [`${one.layer}.${one.cell}`, one]));
const saliency = new Map(data.saliency.indices.map((index, row) => [index, data.saliency.values[row]]));
const expected = new Map(data.expected.positions.map((position, row) => [position, data.expected.texts[row]]));
const unknown = new Set(data.text.unknown);
const AROUND = 20; // characters on each side of the current one for which the gates are shown
const page = { current: 0, isHeld: false, mode: "surprisal", layer: 0, cell: 0, salient: [] };
const byId = (id) => document.getElementById(id);

/** Return the numbers of an array that is packed as integers of 8 bits times a scale. */
function unpack(packed) {
  if (!packed.numbers) {
    const bytes = Int8Array.from(atob(packed.int8), (character) => character.charCodeAt(0));
    packed.numbers = Array.from(bytes, (value) => value * packed.scale);
  }
  return packed.numbers;
}

/** Return a text with its invisible characters, and those that reorder a line, as escapes. */
function visible(text) {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (one) => (one === "\n" ? "\u21b5\n" : `\\u{${one.codePointAt(0).toString(16)}}`));
}

/** Return a token in quotes, in one line. */
function quoted(token) {
  return `\u201c${visible(token).replace("\u21b5\n", "\u21b5")}\u201d`;
}

/** Return the index of the colour of a surprisal in bits. */
function surprisalLevel(value) {
  return data.scores.limits.filter((limit) => value >= limit).length;
}

/** Return the class of the colour of an activation, from -limit to limit. */
function activationClass(value, limit = 1) {
  return `d${Math.min(8, Math.max(0, Math.floor(((value / limit + 1) / 2) * 9)))}`;
}

/** Return the chosen cell, or undefined if the page has no values of it. */
function chosenCell() {
  return cells.get(`${page.layer}.${page.cell}`);
}

/** Return the largest absolute value of a cell, at least 1. */
function limitOf(numbers) {
  return numbers.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1);
}

const spans = tokens.map((token, index) => {
  const shown = visible(token);
  const span = element("span", { className: "" }, [shown]);
  span.dataset.index = index;
  if (shown !== token) span.dataset.kind = token === "\n" ? "end" : "escaped";
  return span;
});

function colourText() {
  const cell = page.mode === "cell" ? chosenCell() : undefined;
  const numbers = cell ? unpack(cell.values) : [];
  const limit = limitOf(numbers);
  spans.forEach((span, index) => {
    const colour = cell ? activationClass(numbers[index], limit) : `s${surprisalLevel(bits[index])}`;
    span.className = `${colour} ${span.dataset.kind || ""}`;
  });
  const names = data.scores.limits.map((limit, k) => `${k ? data.scores.limits[k - 1] : 0}-${limit}`);
  names.push(`${data.scores.limits[data.scores.limits.length - 1]}+`);
  const steps = cell ? [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1].map((step) => [digits(step * limit), activationClass(step)])
    : names.map((name, k) => [name, `s${k}`]);
  const title = cell ? `${data.cells.value} of cell ${page.layer}.${page.cell}: ` : "surprisal in bits: ";
  byId("legend").replaceChildren(title, ...steps.flatMap(([name, colour]) => [element("span", { className: colour }, [`\u00a0${name}\u00a0`]), " "]));
  drawSaliency();
  markCurrent();
}

function drawSaliency() {
  const values = saliency.get(page.current) || [];
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-12);
  page.salient.forEach((span) => span.style.removeProperty("border-bottom-color"));
  page.salient = [];
  values.forEach((value, k) => {
    const span = spans[page.current - 1 - k];
    const percent = Math.round((100 * Math.abs(value)) / largest);
    if (span && percent > 4) {
      page.salient.push(span);
      span.style.borderBottomColor = `color-mix(in srgb, var(${value > 0 ? "--more" : "--less"}) ${percent}%, transparent)`;
    }
  });
}

function markCurrent() {
  document.querySelectorAll("#text .current").forEach((span) => span.classList.remove("current", "held"));
  const span = spans[page.current];
  if (span) span.classList.add("current", ...(page.isHeld ? ["held"] : []));
}

/** Return the position, and the text that the model wrote there, nearest before an index; undefined if there is none. */
function expectedAt(index) {
  for (let position = index; position >= 0; position--) {
    if (expected.has(position)) return [position, expected.get(position)];
  }
  return undefined;
}

function showDetails() {
  const index = page.current, token = tokens[index];
  if (token === undefined) {
    byId("details").replaceChildren("The text is empty.");
    return;
  }
  const parts = [
    element("h3", {}, [`${quoted(token)}, ${unit} ${(data.text.start + index).toLocaleString("en")}`]),
    element("p", { id: "probability" }, [`probability ${digits(Math.exp(data.scores.log_prob[index]))}, ${digits(bits[index])} bits, rank ${data.scores.rank[index]} of ${data.model.vocabulary}`]),
  ];
  if (unknown.has(index)) parts.push(element("p", {}, ["not in the vocabulary; scored as UNK"]));
  const others = data.scores.alternatives[index].map(([other, probability]) => [quoted(other), probability]);
  parts.push(table("alternatives", [unit, "probability"], others));
  const written = expectedAt(index);
  if (written) {
    const [position, text] = written;
    parts.push(element("h4", {}, [position === index ? "what the model writes from here" : `what the model writes from ${index - position} before`]));
    parts.push(element("p", { className: "mono" }, [visible(text)]));
  }
  const cell = chosenCell();
  if (cell) {
    const gates = Object.entries(cell.gates).map(([name, values]) => [`${name} gate`, Number(unpack(values)[index].toFixed(2))]);
    parts.push(table("activation", [`cell ${page.layer}.${page.cell}`, "value"], [[data.cells.value, Number(unpack(cell.values)[index].toFixed(2))], ...gates]));
  }
  const values = saliency.get(index);
  if (values && values.length) {
    const strongest = values.map((value, k) => [k + 1, value]).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 5);
    parts.push(table("saliency, in nats", [`${unit} before`, "back", "saliency"], strongest.map(([back, value]) => [quoted(tokens[index - back]), back, value])));
  } else if (!values) {
    parts.push(element("p", { className: "hint" }, [`saliency was measured for the ${saliency.size} most surprising ${unit}s`]));
  }
  byId("details").replaceChildren(...parts);
}

function showGates() {
  const cell = chosenCell();
  const names = cell ? Object.keys(cell.gates) : [];
  const first = Math.max(0, page.current - AROUND), last = Math.min(tokens.length, page.current + AROUND + 1);
  const around = Array.from({ length: last - first }, (_, k) => first + k);
  const row = (name, content) => element("tr", {}, [element("th", { scope: "row" }, [name]), ...around.map(content)]);
  const value = (numbers, colour) => (index) =>
    element("td", { className: `${colour(numbers[index])} ${index === page.current ? "current" : ""}` }, [numbers[index].toFixed(2).replace("0.", ".")]);
  const sigmoid = (number) => `s${Math.min(5, Math.floor(number * 6))}`;
  const rows = [row(unit, (index) => element("td", { className: index === page.current ? "current" : "" }, [visible(tokens[index]).replace("\u21b5\n", "\u21b5")]))];
  if (cell) {
    const numbers = unpack(cell.values), limit = limitOf(numbers);
    rows.push(row(data.cells.value, value(numbers, (number) => activationClass(number, limit))));
    names.forEach((name) => rows.push(row(name, value(unpack(cell.gates[name]), name in data.saturation ? sigmoid : (number) => activationClass(number)))));
  }
  byId("gates").replaceChildren(element("table", { className: "grid" }, [element("tbody", {}, rows)]));
  byId("gates-note").textContent = !data.cells.gates.length ? "This kind of cell has no gates."
    : names.length ? `Cell ${page.layer}.${page.cell}, around the current ${unit}.`
    : `The page has the gates of the cells in the table above; charlm cells --cell ${page.layer}.${page.cell} --json prints those of this one.`;
}

let isScheduled = false;
function refresh() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    drawSaliency();
    markCurrent();
    showDetails();
    showGates();
  });
}

function moveTo(index, isScrolled = false) {
  page.current = Math.min(Math.max(0, index), tokens.length - 1);
  if (isScrolled && spans[page.current]) spans[page.current].scrollIntoView({ block: "nearest" });
  refresh();
}

/** Return the index of the token above (-1) or below (1) the current one on the screen. */
function inNextLine(direction) {
  const boxOf = (index) => spans[index].getClientRects()[0];
  const middle = (box) => (box.top + box.bottom) / 2;
  const here = boxOf(page.current), isSameLine = (one, other) => Math.abs(middle(one) - middle(other)) < here.height / 2;
  let best = page.current, line = null;
  for (let index = page.current + direction; index >= 0 && index < spans.length; index += direction) {
    const box = boxOf(index);
    if (isSameLine(box, here)) continue;
    if (line === null) line = box;
    if (!isSameLine(box, line)) break;
    if (best === page.current || Math.abs(box.left - here.left) < Math.abs(boxOf(best).left - here.left)) best = index;
  }
  return best;
}

function onKey(event) {
  const moves = { ArrowRight: () => page.current + 1, ArrowLeft: () => page.current - 1, Home: () => 0, End: () => tokens.length - 1,
    ArrowDown: () => inNextLine(1), ArrowUp: () => inNextLine(-1) };
  if (event.key in moves && tokens.length && !event.ctrlKey && !event.altKey && !event.metaKey) {
    event.preventDefault();
    moveTo(moves[event.key](), true);
    byId("said").textContent = `${quoted(tokens[page.current])}, probability ${digits(Math.exp(data.scores.log_prob[page.current]))}`;
  } else if (event.key === "Enter") {
    page.isHeld = !page.isHeld;
    refresh();
  } else if (event.key === "Escape") {
    page.isHeld = false;
    refresh();
  }
}

function choose(layer, cell, mode) {
  Object.assign(page, { layer, cell, mode });
  document.querySelector(`input[name="mode"][value="${mode}"]`).checked = true;
  const own = data.cells.shown.filter((one) => one.layer === layer).map((one) => one.cell).sort((a, b) => a - b);
  byId("layer").value = layer;
  byId("cell").replaceChildren(...own.map((number) => element("option", { value: number }, [String(number)])));
  byId("cell").value = cell;
  document.querySelectorAll("#properties button").forEach((button) => button.setAttribute("aria-pressed", String(button.textContent === `${layer}.${cell}`)));
  colourText();
  refresh();
}

function showProperties() {
  const { ranked, rare, characters } = data.properties;
  const member = data.model.members > 1 ? ` of member ${data.model.member}` : "";
  byId("cells-note").textContent = `How well single cells${member} predict a property of the text: the area under the ROC curve (AUC; 0.5 is chance, 1 perfect), or the correlation with a number. `
    + `Cells are chosen on the first half of ${characters.toLocaleString("en")} ${unit}s and measured again on the second half (held-out). "${unit} alone" is what the current ${unit} predicts without memory. Sign - means that the cell is low where the property is true or high.`;
  const fixed = (number) => element("span", { className: "number" }, [number.toFixed(3)]);
  const rows = ranked.map((one) => {
    const button = element("button", { type: "button", "aria-pressed": "false" }, [`${one.layer}.${one.cell}`]);
    button.addEventListener("click", () => {
      choose(one.layer, one.cell, "cell");
      byId("text-title").scrollIntoView();
    });
    return [one.property, button, one.sign > 0 ? "+" : "-", one.measure === "auc" ? "AUC" : "correlation", fixed(one.chosen), fixed(one.held_out), fixed(one.baseline)];
  });
  byId("properties").replaceWith(Object.assign(table("", ["property", "cell", "sign", "measure", "first half", "held-out", `${unit} alone`], rows), { id: "properties" }));
  byId("rare").textContent = rare.length ? `Too rare in this text to be ranked: ${rare.join(", ")}.` : "";
}

function showSaturation() {
  const rows = [];
  for (const [gate, [left, right]] of Object.entries(data.saturation)) {
    const series = left.map((packed, layer) => ({ name: `layer ${layer}`, dots: true, points: unpack(right[layer]).map((x, k) => [x, unpack(packed)[k]]) }));
    const mean = (numbers) => Number((numbers.reduce((sum, value) => sum + value, 0) / numbers.length).toFixed(3));
    left.forEach((packed, layer) => rows.push([gate, layer, mean(unpack(packed)), mean(unpack(right[layer]))]));
    byId("saturation").append(chart(series, { title: `${gate} gate`, x: "fraction right-saturated", y: "fraction left-saturated", range: [[0, 1], [0, 1]] }));
  }
  byId("saturation").append(rows.length ? table("mean over the cells", ["gate", "layer", "left-saturated", "right-saturated"], rows)
    : element("p", {}, ["This kind of cell has no gates."]));
}

function showTraining() {
  const { log, clip, valid, held_out: part, valid_loss: loss, steps } = data.training;
  const series = (key) => log.filter((row) => key in row).map((row) => [row.step, row[key]]);
  const where = valid ? `${digits(100 * valid)} % of the text was held out${part === "end" ? ", its end" : part === "spread" ? ", spread over the text" : ""}. ` : "";
  const trained = steps ? `${digits(steps)} steps. ` : "";
  const best = loss === null || loss === undefined ? "" : `Held-out loss of the model: ${digits(loss)} nats. `;
  byId("training-note").textContent = trained + where + best + (log.length ? "" : "There is no training log next to the model.");
  if (!log.length) return;
  const ends = [log[0].step, log[log.length - 1].step];
  const limit = clip ? [{ name: "clip", points: ends.map((step) => [step, clip]) }] : [];
  byId("training").append(
    chart([{ name: "train", points: series("train_loss") }, { name: "held-out", points: series("valid_loss") }], { title: "Loss", x: "step", y: "nats", hasTable: true }),
    chart([{ name: "learning rate", points: series("learning_rate") }], { title: "Learning rate", x: "step", y: "rate", hasTable: true }),
    chart([{ name: "gradient norm", points: series("grad_norm") }, ...limit], { title: "Gradient norm before clipping", x: "step", y: "norm", isLog: true, hasTable: true }),
  );
}

function showFlow() {
  const { norms, steps_until_one_percent: vanished } = data.gradients;
  if (!norms.length) return;
  const series = norms.map((layer, index) => ({ name: `layer ${index}`, points: layer.map((norm, k) => [k, norm === null ? NaN : norm]) }));
  byId("flow").append(chart(series, { title: "Gradient flow", x: "k, steps back", y: "norm", isLog: true, hasTable: true }));
  byId("flow").append(table("", ["layer", "steps until below 1 % of k = 1"], vanished.map((steps, layer) => [layer, steps === null ? "never" : steps])));
}

function start() {
  const { config, parameters, members, name } = data.model;
  const { start: offset, is_cut: isCut } = data.text;
  const shown = `${tokens.length.toLocaleString("en")} ${unit}s${isCut ? ` of a longer text, from character ${offset.toLocaleString("en")} on` : ""}`;
  byId("about").textContent = `${visible(name)}: ${members > 1 ? `${members} x ` : ""}${config.cell} ${config.hidden}x${config.layers}, ${parameters.toLocaleString("en")} parameters. ${shown}.`;
  byId("text").append(...spans);
  byId("layer").append(...Array.from({ length: data.cells.layers }, (_, layer) => element("option", { value: layer }, [String(layer)])));
  showProperties();
  showSaturation();
  showTraining();
  showFlow();
  const first = data.properties.ranked[0] || data.cells.shown[0] || { layer: 0, cell: 0 };
  choose(first.layer, first.cell, "surprisal");
  byId("text").addEventListener("keydown", onKey);
  byId("text").addEventListener("mouseover", (event) => {
    const index = event.target.dataset.index;
    if (index !== undefined && !page.isHeld) moveTo(Number(index));
  });
  byId("text").addEventListener("click", (event) => {
    const index = event.target.dataset.index;
    if (index === undefined) return;
    page.isHeld = !(page.isHeld && page.current === Number(index));
    moveTo(Number(index));
  });
  document.querySelectorAll('input[name="mode"]').forEach((input) => input.addEventListener("change", () => choose(page.layer, page.cell, input.value)));
  byId("layer").addEventListener("change", () => {
    const layer = Number(byId("layer").value);
    const one = data.cells.shown.find((cell) => cell.layer === layer);
    if (one) choose(layer, one.cell, "cell");
  });
  byId("cell").addEventListener("change", () => choose(page.layer, Number(byId("cell").value), "cell"));
  byId("next").addEventListener("click", () => {
    const next = data.saliency.indices.find((index) => index > page.current);
    page.isHeld = true;
    moveTo(next === undefined ? data.saliency.indices[0] : next, true);
  });
}

start();
