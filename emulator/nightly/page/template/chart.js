"use strict";
// Charts as SVG. Everything they say is also in a table beside them.
const sinkChart = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const MARGIN = { top: 14, right: 20, bottom: 26, left: 40 };
  const TICKS = 5;

  function element(name, attributes = {}, ...children) {
    const found = document.createElementNS(SVG, name);
    Object.entries(attributes).forEach(([key, value]) => found.setAttribute(key, value));
    found.append(...children);
    return found;
  }

  // One series with bands around it.
  // series: {name, className, xs, values, bands: [{className, low, high}], from};
  // xs are fractional years; `from` is the index from which no teacher has spoken.
  function lines(host, series, options) {
    const box = frame(host, options.height, series.name, options.describe);
    const all = [series.values, ...series.bands.flatMap((b) => [b.low, b.high])].flat();
    const scale = scales(box, extent(series.xs), withZero(extent(all)));
    axes(box, scale, options.yearTicks);
    const known = series.xs.map((x, i) => [x, series.values[i]]);
    if (series.from !== null && series.from < series.xs.length) {
      const left = scale.x(series.xs[series.from]);
      box.plot.append(element("rect", {
        class: "beyond", x: left, y: box.top,
        width: Math.max(0, box.right - left), height: box.bottom - box.top,
      }));
    }
    series.bands.forEach((band) => {
      runs(band.low).forEach(([start, end]) => {
        const upper = band.high.slice(start, end).map((v, i) => point(scale, series.xs[start + i], v));
        const lower = band.low.slice(start, end).map((v, i) => point(scale, series.xs[start + i], v));
        const shape = `M${[...upper, ...lower.reverse()].join("L")}Z`;
        box.plot.append(element("path", { class: `band ${band.className}`, d: shape }));
      });
    });
    zeroLine(box, scale);
    runs(series.values).forEach(([start, end]) => {
      const points = known.slice(start, end).map(([x, v]) => point(scale, x, v));
      box.plot.append(element("path", {
        class: `line ${series.className}`, d: `M${points.join("L")}`,
      }));
      if (end - start < 40) {
        known.slice(start, end).forEach(([x, v]) => box.plot.append(element("circle", {
          class: `dot ${series.className}`, cx: scale.x(x), cy: scale.y(v), r: 2.2,
        })));
      }
    });
    follow(box, scale, series, options.say);
  }

  // Stacked bars: sources above zero or sinks, as the terms' signs say.
  // terms: [{name, className, values}]; labels: one a bar.
  function bars(host, labels, terms, options) {
    const box = frame(host, options.height, options.name, options.describe);
    const tops = labels.map((_, i) => stack(terms, i, (v) => v > 0).at(-1) || 0);
    const lows = labels.map((_, i) => stack(terms, i, (v) => v < 0).at(-1) || 0);
    const scale = scales(box, [-0.5, labels.length - 0.5], withZero(extent([...tops, ...lows])));
    axes(box, scale, null);
    const each = (box.right - box.left) / labels.length;
    const wide = Math.min(each * 0.74, 34);
    labels.forEach((label, i) => {
      [(v) => v > 0, (v) => v < 0].forEach((wanted) => {
        let base = 0;
        terms.forEach((term) => {
          const value = term.values[i];
          if (value === null || !wanted(value)) return;
          const [y0, y1] = [scale.y(base), scale.y(base + value)];
          const title = element("title", {}, `${label}, ${term.name}: ${text(value)} PgC yr\u207b\u00b9`);
          box.plot.append(element("rect", {
            class: `bar-part ${term.className}`, x: scale.x(i) - wide / 2, width: wide,
            y: Math.min(y0, y1), height: Math.abs(y1 - y0),
          }, title));
          base += value;
        });
      });
    });
    const every = Math.ceil(labels.length / Math.max(1, Math.floor((box.right - box.left) / 44)));
    labels.forEach((label, i) => {
      if ((labels.length - 1 - i) % every) return;
      box.plot.append(element("text", {
        class: "tick", x: scale.x(i), y: box.bottom + 16, "text-anchor": "middle",
      }, String(label)));
    });
    zeroLine(box, scale);
  }

  function frame(host, height, name, description) {
    const width = Math.max(260, host.clientWidth);
    const svg = element("svg", {
      viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
      "aria-label": `${name}. ${description}`,
    });
    host.replaceChildren(svg);
    return {
      host, svg, plot: svg, top: MARGIN.top, left: MARGIN.left,
      right: width - MARGIN.right, bottom: height - MARGIN.bottom,
    };
  }

  function scales(box, [x0, x1], [y0, y1]) {
    const across = x1 > x0 ? x1 - x0 : 1;
    return {
      x: (x) => round(box.left + ((x - x0) / across) * (box.right - box.left)),
      y: (y) => round(box.bottom - ((y - y0) / (y1 - y0)) * (box.bottom - box.top)),
      domain: { x0, x1, y0, y1 },
    };
  }

  function axes(box, scale, yearTicks) {
    const { x0, x1, y0, y1 } = scale.domain;
    const levels = ticks(y0, y1);
    const decimals = levels.every((y) => Math.abs(y - Math.round(y)) < 1e-9) ? 0 : 2;
    for (const y of levels) {
      box.plot.append(
        element("line", { class: "grid", x1: box.left, x2: box.right, y1: scale.y(y), y2: scale.y(y) }),
        element("text", { class: "tick", x: box.left - 6, y: scale.y(y) + 4, "text-anchor": "end" }, text(y, decimals)),
      );
    }
    box.plot.append(element("text", { class: "tick unit", x: 2, y: 10 }, "PgC yr\u207b\u00b9"));
    if (!yearTicks) return;
    const fit = Math.max(2, Math.floor((box.right - box.left) / 48));
    const step = [1, 2, 5, 10, 20, 50].find((s) => (x1 - x0) / s <= fit) || 100;
    for (let year = Math.ceil(x0 / step) * step; year <= x1; year += step) {
      box.plot.append(element("text", {
        class: "tick", x: scale.x(year), y: box.bottom + 16, "text-anchor": "middle",
      }, String(year)));
    }
  }

  function zeroLine(box, scale) {
    const y = scale.y(0);
    box.plot.append(element("line", { class: "zero", x1: box.left, x2: box.right, y1: y, y2: y }));
  }

  // Tells the value below the pointer.
  function follow(box, scale, series, say) {
    const mark = element("line", { class: "pointer", y1: box.top, y2: box.bottom, x1: -9, x2: -9 });
    box.plot.append(mark);
    box.svg.addEventListener("pointermove", (event) => {
      const bounds = box.svg.getBoundingClientRect();
      const x = event.clientX - bounds.left;
      let nearest = 0;
      series.xs.forEach((value, i) => {
        const better = Math.abs(scale.x(value) - x) < Math.abs(scale.x(series.xs[nearest]) - x);
        if (better) nearest = i;
      });
      mark.setAttribute("x1", scale.x(series.xs[nearest]));
      mark.setAttribute("x2", scale.x(series.xs[nearest]));
      say(nearest);
    });
  }

  // Spans of known values, [start, end).
  function runs(values) {
    const found = [];
    values.forEach((value, i) => {
      if (value === null) return;
      if (found.length && found.at(-1)[1] === i) found.at(-1)[1] = i + 1;
      else found.push([i, i + 1]);
    });
    return found;
  }

  function stack(terms, i, wanted) {
    let sum = 0;
    return terms.map((term) => {
      const value = term.values[i];
      if (value !== null && wanted(value)) sum += value;
      return sum;
    });
  }

  function extent(values) {
    const known = values.filter((value) => value !== null);
    return known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
  }

  function withZero([low, high]) {
    const [bottom, top] = [Math.min(0, low), Math.max(0, high)];
    const room = (top - bottom || 1) * 0.06;
    return [bottom < 0 ? bottom - room : 0, top > 0 ? top + room : 0.0001];
  }

  function ticks(low, high) {
    const rough = (high - low) / TICKS;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
    const found = [];
    for (let i = Math.ceil(low / step); i * step <= high; i += 1) found.push(i * step);
    return found;
  }

  function point(scale, x, y) {
    return `${scale.x(x)},${scale.y(y)}`;
  }

  function round(value) {
    return Math.round(value * 10) / 10;
  }

  function text(value, decimals = 2) {
    if (value === null) return "\u2013";
    return Number(value.toFixed(decimals)).toFixed(decimals).replace("-", "\u2212");
  }

  return { lines, bars, text, element };
})();
