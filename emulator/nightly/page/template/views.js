"use strict";
// Series, budget and latitudes: what is drawn, and the tables that say the same.
const sinkViews = (() => {
  const CLASSES = { nbp: "land", fgco2: "ocean" };
  const REGIONS = {
    globe: "Globe", north: "North of 30\u00b0 N", tropics: "Tropics, 30\u00b0 S to 30\u00b0 N",
    south: "South of 30\u00b0 S", other: "Elsewhere",
  };
  const PERIODS = {
    month: "Months, as a rate", "12month": "Running 12 months", year: "Calendar years",
  };
  const SPANS = { 10: "Last 10 years", 25: "Last 25 years", 0: "All years" };
  const BUDGET_YEARS = 25;
  const CHART_HEIGHT = 230;
  const UNIT = "PgC yr\u207b\u00b9";

  const night = () => sinkPage.night;
  const nameOf = (flux) => night().names[flux];
  const byId = (id) => document.getElementById(id);
  const text = sinkChart.text;

  function make(name, content = "", attributes = {}) {
    const found = document.createElement(name);
    if (content !== "") found.textContent = content;
    Object.entries(attributes).forEach(([key, value]) => found.setAttribute(key, value));
    return found;
  }

  function fill(select, choices, chosen) {
    select.replaceChildren(...choices.map(([value, label]) => {
      const option = make("option", label, { value });
      option.selected = String(value) === String(chosen);
      return option;
    }));
  }

  // rows: lists of text; the first of each names the row.
  function table(caption, head, rows) {
    const box = make("div", "", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption });
    const found = make("table");
    found.append(make("caption", caption));
    const top = make("tr");
    top.append(...head.map((name, i) => make("th", name, { scope: "col", class: i ? "number" : "" })));
    const body = make("tbody");
    rows.forEach(([first, ...rest]) => {
      const row = make("tr");
      row.append(make("th", first, { scope: "row" }), ...rest.map((cell) => make("td", cell, { class: "number" })));
      body.append(row);
    });
    const thead = make("thead");
    thead.append(top);
    found.append(thead, body);
    box.append(found);
    return box;
  }

  const fluxesOf = (totals) => Object.keys(CLASSES).filter((flux) => flux in totals);

  function monthName(month) {
    const [year, number] = month.split("-").map(Number);
    const date = new Date(Date.UTC(year, number - 1, 1));
    return date.toLocaleDateString("en", { month: "long", year: "numeric", timeZone: "UTC" });
  }

  function stepName(step, period) {
    if (period === "year") return String(step);
    return period === "month" ? monthName(step) : `12 months to ${monthName(step)}`;
  }

  // Fractional years; the middle of a month or year.
  function place(step, period) {
    if (period === "year") return step;
    const [year, number] = step.split("-").map(Number);
    return period === "month" ? year + (number - 0.5) / 12 : year + number / 12;
  }

  function bandsOf(one, slice) {
    const bands = [];
    if (one.sink) bands.push({ className: "sink", low: slice(one.sink[0]), high: slice(one.sink[1]) });
    if (one.emulation) {
      bands.push({ className: "emulation", low: slice(one.emulation[0]), high: slice(one.emulation[1]) });
    }
    if (!bands.length && one.spread) {
      const shifted = (sign) => slice(one.mean).map((value, i) => {
        const spread = slice(one.spread)[i];
        return value === null || spread === null ? null : value + sign * spread;
      });
      bands.push({ className: "spread", low: shifted(-1), high: shifted(1) });
    }
    return bands;
  }

  // Index of the first step for which no teacher's own run is left; null if unknown.
  function emulatedFrom(flux, steps, period) {
    const domain = CLASSES[flux];
    const own = night().months[`${domain}_simulated`];
    if (!own || own.includes(-1)) return null;
    const last = own.reduce((found, count, i) => (count > 0 ? i : found), -1);
    const month = last < 0 ? "" : night().months.month[last];
    const isLater = (step) => (period === "year" ? String(step) > month.slice(0, 4) : step > month);
    const first = steps.findIndex(isLater);
    return first < 0 ? null : first;
  }

  function drawSeries() {
    const period = byId("series-period").value;
    const region = byId("series-region").value;
    const totals = night().totals[period];
    const span = Number(byId("series-span").value);
    const last = place(totals.steps.at(-1), period);
    const start = span ? totals.steps.findIndex((s) => place(s, period) > last - span) : 0;
    const slice = (values) => values.slice(Math.max(0, start));
    const steps = slice(totals.steps);
    const seen = new Set();
    const charts = fluxesOf(totals).map((flux) => {
      const one = totals[flux][region];
      const figure = make("figure", "", { class: "chart" });
      const caption = make("figcaption", "", { class: "chart-title" });
      caption.append(make("strong", nameOf(flux)), ` ${REGIONS[region] || region}`);
      const host = make("div");
      const readout = make("p", "\u00a0", { class: "readout" });
      figure.append(caption, host, readout);
      const bands = bandsOf(one, slice);
      bands.forEach((band) => seen.add(band.className));
      const values = slice(one.mean);
      const from = emulatedFrom(flux, steps, period);
      if (from !== null) seen.add("beyond");
      const series = {
        name: `${nameOf(flux)}, ${REGIONS[region] || region}, ${PERIODS[period]}`,
        className: CLASSES[flux], xs: steps.map((s) => place(s, period)), values, bands, from,
      };
      const say = (i) => {
        readout.textContent = sentence(stepName(steps[i], period), one, Math.max(0, start) + i);
      };
      return { figure, host, series, say, describe: describe(steps, values, period) };
    });
    byId("series-charts").replaceChildren(...charts.map((chart) => chart.figure));
    charts.forEach(({ host, series, say, describe: said }) => {
      sinkChart.lines(host, series, { height: CHART_HEIGHT, describe: said, say, yearTicks: true });
      const newest = series.values.findLastIndex((value) => value !== null);
      if (newest >= 0) say(newest);
    });
    legend(seen);
    if (byId("series-details").open) seriesTable();
  }

  function describe(steps, values, period) {
    const known = steps.map((step, i) => [step, values[i]]).filter(([, v]) => v !== null);
    if (!known.length) return "No value.";
    const [first, last] = [known[0], known.at(-1)];
    const [low, high] = [
      known.reduce((a, b) => (b[1] < a[1] ? b : a)), known.reduce((a, b) => (b[1] > a[1] ? b : a)),
    ];
    const say = ([step, value]) => `${text(value)} in ${stepName(step, period)}`;
    return `From ${say(first)} to ${say(last)}, ${UNIT}; least ${say(low)}, most ${say(high)}.`;
  }

  function sentence(when, one, i) {
    const parts = [`${when}: ${text(one.mean[i])} ${UNIT}`];
    ["emulation", "sink"].forEach((kind) => {
      if (one[kind] && one[kind][0][i] !== null) {
        const words = kind === "sink" ? "interval of the sink" : "interval of emulation";
        parts.push(`${words} ${text(one[kind][0][i])} to ${text(one[kind][1][i])}`);
      }
    });
    if (one.spread && one.spread[i] !== null) parts.push(`teachers differ by \u00b1${text(one.spread[i])}`);
    return parts.join("; ");
  }

  function legend(seen) {
    const level = night().level ? `${night().level} interval` : "Interval";
    const words = {
      emulation: `${level} of emulation: where the mean of these teachers would lie. Not the real sink's.`,
      sink: `${level} of the sink, as far as the map knows its errors: a lower bound.`,
      spread: "Mean \u00b1 standard deviation between teachers. This run has no calibrated interval.",
      beyond: "No teacher has simulated these months: the emulator alone speaks.",
    };
    const list = make("ul", "", { class: "legend" });
    Object.keys(words).filter((key) => seen.has(key)).forEach((key) => {
      const item = make("li");
      item.append(make("span", "", { class: `swatch ${key}`, "aria-hidden": "true" }), words[key]);
      list.append(item);
    });
    byId("series-legend").replaceChildren(list);
  }

  function seriesTable() {
    const period = byId("series-period").value;
    const region = byId("series-region").value;
    const totals = night().totals[period];
    const fluxes = fluxesOf(totals);
    const head = ["Time"];
    fluxes.forEach((flux) => {
      head.push(nameOf(flux), "between teachers (1 sd)", "interval of emulation", "interval of the sink");
    });
    const span = (one, kind, i) =>
      (one[kind] && one[kind][0][i] !== null ? `${text(one[kind][0][i], 3)} to ${text(one[kind][1][i], 3)}` : "\u2013");
    const rows = totals.steps.map((step, i) => [
      String(step),
      ...fluxes.flatMap((flux) => {
        const one = totals[flux][region];
        const spread = one.spread ? text(one.spread[i], 3) : "\u2013";
        return [text(one.mean[i], 3), spread, span(one, "emulation", i), span(one, "sink", i)];
      }),
    ]).reverse();
    const caption = `${REGIONS[region] || region}, ${PERIODS[period]}, ${UNIT}, newest first`;
    byId("series-table").replaceChildren(table(caption, head, rows));
  }

  function drawBudget() {
    const totals = night().totals.year;
    const fluxes = fluxesOf(totals);
    const known = totals.steps.map((_, i) => i)
      .filter((i) => fluxes.some((flux) => totals[flux].globe.mean[i] !== null));
    const shown = known.slice(-BUDGET_YEARS);
    const labels = shown.map((i) => totals.steps[i]);
    const terms = fluxes.map((flux) => ({
      name: nameOf(flux), className: CLASSES[flux], values: shown.map((i) => totals[flux].globe.mean[i]),
    }));
    const host = make("div");
    byId("budget-chart").replaceChildren(keys(terms), host);
    const describeAll = `Stacked bars of ${terms.map((t) => t.name).join(" and ")} for ${labels[0]} to ${labels.at(-1)}; the table below holds the numbers.`;
    sinkChart.bars(host, labels, terms, { height: 260, name: "Annual budget of the globe", describe: describeAll });
    const rows = known.map((i) => {
      const values = fluxes.map((flux) => totals[flux].globe.mean[i]);
      const sum = values.includes(null) ? null : values.reduce((a, b) => a + b, 0);
      return [String(totals.steps[i]), ...values.map((v) => text(v, 3)), ...(fluxes.length > 1 ? [text(sum, 3)] : [])];
    }).reverse();
    const head = ["Year", ...fluxes.map((flux) => nameOf(flux)), ...(fluxes.length > 1 ? ["Sum"] : [])];
    byId("budget-table").replaceChildren(table(`Uptake of the globe, whole years, ${UNIT}`, head, rows));
  }

  // Emissions above zero, where they went below; the imbalance on the side it falls.
  function drawClosure() {
    const { closure } = night();
    if (!closure || !closure.years.length) return;
    const sources = ["e_fos", "e_luc"];
    const shown = closure.years.map((_, i) => i).slice(-BUDGET_YEARS);
    const terms = closure.terms.map((term) => ({
      name: term.words,
      className: { s_land: "land", s_ocean: "ocean" }[term.name] || term.name.replace("_", "-"),
      values: shown.map((i) => {
        const value = term.values[i];
        return value === null || sources.includes(term.name) ? value : -value;
      }),
    }));
    const labels = shown.map((i) => `${closure.years[i]}${closure.extrapolated[i] ? "*" : ""}`);
    const host = make("div");
    const note = make("p", "Emissions above zero, where the carbon went below. * with terms that are extrapolated.", { class: "note" });
    byId("closure-chart").replaceChildren(make("h3", "Global carbon budget"), keys(terms), host, note);
    sinkChart.bars(host, labels, terms, {
      height: 320, name: "Global carbon budget",
      describe: `Stacked bars of ${terms.map((t) => t.name).join(", ")} for ${labels[0]} to ${labels.at(-1)}; the table of the closure holds the numbers.`,
    });
  }

  function keys(terms) {
    const list = make("ul", "", { class: "legend" });
    terms.forEach((term) => {
      const item = make("li");
      item.append(make("span", "", { class: `swatch solid ${term.className}`, "aria-hidden": "true" }), term.name);
      list.append(item);
    });
    return list;
  }

  function drawShares() {
    const totals = night().totals.year;
    const i = totals.steps.indexOf(Number(byId("shares-year").value));
    const bands = night().regions.filter((region) => region !== "globe");
    const rows = bands.map((band) => [REGIONS[band] || band]);
    const head = ["Band"];
    const bars = [];
    fluxesOf(totals).forEach((flux) => {
      head.push(nameOf(flux), "share");
      const values = bands.map((band) => totals[flux][band].mean[i]);
      const isShared = !values.includes(null) && (values.every((v) => v >= 0) || values.every((v) => v <= 0));
      const sum = values.reduce((a, b) => a + (b || 0), 0);
      values.forEach((value, row) => {
        const share = isShared && sum !== 0 ? `${Math.round((100 * value) / sum)} %` : "\u2013";
        rows[row].push(text(value, 3), share);
      });
      bars.push({ name: nameOf(flux), className: CLASSES[flux], values });
    });
    const host = byId("shares-chart");
    horizontal(host, bands.map((band) => REGIONS[band] || band), bars);
    const caption = `Uptake by latitude in ${totals.steps[i]}, ${UNIT}`;
    byId("shares-table").replaceChildren(table(caption, head, rows));
  }

  // Bars from a common zero, one row for each band and domain; HTML, since text wraps.
  function horizontal(host, names, bars) {
    const all = bars.flatMap((bar) => bar.values.map((v) => v || 0));
    const [low, high] = [Math.min(0, ...all), Math.max(0, ...all)];
    const width = high - low || 1;
    const list = make("div", "", { class: "bands", "aria-hidden": "true" });
    names.forEach((name, row) => {
      list.append(make("p", name, { class: "band-name" }));
      const rows = make("div", "", { class: "band-rows" });
      bars.forEach((bar) => {
        const value = bar.values[row];
        const line = make("div", "", { class: "band-row" });
        const track = make("div", "", { class: "band-track" });
        const part = make("div", "", { class: `band-bar ${bar.className}` });
        part.style.left = `${((Math.min(0, value || 0) - low) / width) * 100}%`;
        part.style.width = `${(Math.abs(value || 0) / width) * 100}%`;
        const zero = make("div", "", { class: "band-zero" });
        zero.style.left = `${(-low / width) * 100}%`;
        track.append(part, zero);
        line.append(make("span", bar.name, { class: "band-what" }), track, make("span", text(value), { class: "band-value" }));
        rows.append(line);
      });
      list.append(rows);
    });
    host.replaceChildren(list);
  }

  function start() {
    const { totals, regions } = night();
    fill(byId("series-region"), regions.map((r) => [r, REGIONS[r] || r]), "globe");
    const periods = Object.keys(PERIODS).filter((period) => period in totals);
    fill(byId("series-period"), periods.map((p) => [p, PERIODS[p]]), periods.includes("12month") ? "12month" : "year");
    fill(byId("series-span"), Object.entries(SPANS).reverse(), 25);
    const years = totals.year.steps.filter((_, i) =>
      fluxesOf(totals.year).some((flux) => totals.year[flux].globe.mean[i] !== null));
    fill(byId("shares-year"), [...years].reverse().map((y) => [y, String(y)]), years.at(-1));
    ["series-region", "series-period", "series-span"].forEach((id) => byId(id).addEventListener("change", drawSeries));
    byId("series-details").addEventListener("toggle", (event) => event.target.open && seriesTable());
    byId("shares-year").addEventListener("change", drawShares);
    draw();
  }

  function draw() {
    drawSeries();
    if (night().totals.year.steps.length) {
      drawBudget();
      drawClosure();
      drawShares();
    } else {
      ["budget-section", "shares-section"].forEach((id) => { byId(id).hidden = true; });
    }
  }

  return { start, draw, make, fill, monthName };
})();
