"use strict";

// Helpers that build elements and charts. Texts are set by `textContent` alone, so that no text is read as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Return an element with properties and children; a string is a child of plain text. */
function element(name, properties = {}, children = []) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** Return an SVG element with attributes and a text. */
function shape(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

/** Return a table: a caption, the titles of its columns, and rows of strings, numbers or elements. */
function table(caption, head, rows) {
  const cell = (name, value) =>
    element(name, { className: typeof value === "number" ? "number" : "" }, [typeof value === "number" ? digits(value) : value]);
  return element("table", {}, [
    element("caption", {}, [caption]),
    element("thead", {}, [element("tr", {}, head.map((title) => element("th", { scope: "col" }, [title])))]),
    element("tbody", {}, rows.map((row) => element("tr", {}, row.map((value) => cell("td", value))))),
  ]);
}

/** Return a number with four significant digits. */
function digits(value) {
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(4)));
}

/**
 * Return a chart of lines with its numbers in a table below it.
 *
 * series: {name, points: [[x, y], ...], dots} each; `dots` draws points instead of a line.
 * options: title, x and y (titles of the axes), isLog (logarithmic y), range ([[x0, x1], [y0, y1]]), hasTable.
 */
function chart(series, options) {
  const width = 420, height = 240, left = 58, bottom = 34, top = 10, right = 12;
  const usable = series.map((one) => ({ ...one, points: one.points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y) && (!options.isLog || y > 0)) }));
  const all = usable.flatMap((one) => one.points);
  const value = (y) => (options.isLog ? Math.log10(y) : y);
  const bounds = (values) => {
    let low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!(low < high)) { low -= 0.5; high += 0.5; }
    return [low, high];
  };
  const [xs, ys] = options.range || [bounds(all.map(([x]) => x)), bounds(all.map(([, y]) => value(y)))];
  const px = (x) => left + ((x - xs[0]) / (xs[1] - xs[0])) * (width - left - right);
  const py = (y) => height - bottom - ((value(y) - ys[0]) / (ys[1] - ys[0])) * (height - bottom - top);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": options.title });
  svg.append(shape("path", { class: "axis", d: `M${left} ${top}V${height - bottom}H${width - right}` }));
  for (let k = 0; k <= 4; k++) {
    const x = xs[0] + (k / 4) * (xs[1] - xs[0]), y = ys[0] + (k / 4) * (ys[1] - ys[0]);
    const shown = options.isLog ? 10 ** y : y;
    svg.append(shape("text", { x: px(x), y: height - bottom + 14, "text-anchor": "middle" }, digits(Number(x.toPrecision(3)))));
    svg.append(shape("text", { x: left - 6, y: py(shown) + 4, "text-anchor": "end" }, String(Number(shown.toPrecision(3)))));
  }
  svg.append(shape("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, options.x));
  usable.forEach((one, index) => {
    const colour = `c${index % 3}`;
    if (one.dots) {
      one.points.forEach(([x, y]) => svg.append(shape("circle", { class: colour, cx: px(x), cy: py(y), r: 3 })));
    } else {
      const path = one.points.map(([x, y], k) => `${k ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("");
      svg.append(shape("path", { class: `line ${colour}`, d: path }));
    }
    svg.append(shape("text", { class: colour, x: width - right, y: top + 12 + 14 * index, "text-anchor": "end" }, one.name));
  });
  const figure = element("figure", {}, [svg, element("figcaption", {}, [`${options.title}: ${options.y} by ${options.x}`])]);
  if (options.hasTable) {
    const rows = usable.flatMap((one) => one.points.map(([x, y]) => [one.name, x, y]));
    const numbers = table(options.title, ["curve", options.x, options.y], rows);
    figure.append(element("details", {}, [element("summary", {}, ["numbers"]), element("div", { className: "scroll" }, [numbers])]));
  }
  return figure;
}
