"use strict";
// The map's controls, and the beginning of everything.
(() => {
  const DOMAINS = { land: "Land", ocean: "Ocean", both: "Both" };
  const KINDS = { mean: "Mean", teachers: "Teachers' spread", emulator: "Emulator's error" };
  const TITLES = {
    mean: "Uptake from the air, mean of teachers",
    teachers: "Spread between teachers, standard deviation",
    emulator: "Emulator's error, standard deviation between networks",
  };
  const PLACES = { land: "land", ocean: "ocean", both: "land and ocean" };
  const AREAS = { land: "land", ocean: "sea", both: "the whole cell" };
  const ABSENT = {
    teachers: "spread between teachers, for which two are needed",
    emulator: "emulator's error, for which two networks of each domain are needed",
  };
  const STATUS = ["final", "preliminary", "partial", "unknown"];
  const LETTERS = ["J", "F", "M", "A", "M", "J", "J", "A", "S", "O", "N", "D"];
  const UNIT = "g C m\u207b\u00b2 yr\u207b\u00b9";
  const PLAY_MS = 700;
  const REDRAW_MS = 120;

  const byId = (id) => document.getElementById(id);
  const { make, fill, monthName } = sinkViews;
  const state = { domain: "", kind: "mean", index: 0, values: null, asked: 0 };
  let grid = null;
  let timer = null;

  const months = () => sinkPage.night.months;
  const domainsShown = () => (state.domain === "both" ? ["land", "ocean"] : [state.domain]);
  const layerName = () => `${state.domain}_${state.kind}`;
  const statusOf = (i) => STATUS[months().status[i]] || "unknown";

  async function start() {
    grid = await sinkPage.unpackGrid();
    sinkMap.setGrid(grid);
    const known = Object.keys(DOMAINS).filter((domain) => `${domain}_mean` in sinkPage.night.layers);
    state.domain = known.includes("both") ? "both" : known[0];
    state.index = months().month.length - 1;
    radios("domain-choice", "domain", DOMAINS, state.domain);
    radios("kind-choice", "kind", KINDS, state.kind);
    const years = [...new Set(months().month.map((month) => month.slice(0, 4)))];
    fill(byId("year"), years.map((year) => [year, year]), years.at(-1));
    listen();
    allow();
    sinkViews.start();
    sinkMap.resize();
    await show();
  }

  function radios(host, name, choices, chosen) {
    Object.entries(choices).forEach(([value, label]) => {
      const input = make("input", "", { type: "radio", name, value, id: `${name}-${value}` });
      input.checked = value === chosen;
      input.addEventListener("change", () => {
        state[name] = value;
        allow();
        show();
      });
      byId(host).append(input, make("label", label, { for: `${name}-${value}` }));
    });
  }

  // Only layers that the map has can be chosen.
  function allow() {
    const layers = sinkPage.night.layers;
    Object.keys(DOMAINS).forEach((domain) => {
      byId(`domain-${domain}`).disabled = !(`${domain}_mean` in layers);
    });
    Object.keys(KINDS).forEach((kind) => {
      byId(`kind-${kind}`).disabled = !(`${state.domain}_${kind}` in layers);
    });
    if (!(layerName() in layers)) {
      state.kind = "mean";
      byId("kind-mean").checked = true;
    }
  }

  function listen() {
    byId("month").addEventListener("input", (event) => go(indexOf(yearOf(state.index), Number(event.target.value))));
    byId("year").addEventListener("change", (event) => go(indexOf(event.target.value, monthOf(state.index))));
    const step = (by) => () => go(state.index + by);
    byId("month-before").addEventListener("click", step(-1));
    byId("month-after").addEventListener("click", step(1));
    byId("year-before").addEventListener("click", step(-12));
    byId("year-after").addEventListener("click", step(12));
    byId("play").addEventListener("click", () => play(timer === null));
    ["cell-lat", "cell-lon"].forEach((id) => byId(id).addEventListener("input", readCell));
    ["pointermove", "pointerdown"].forEach((name) => byId("map").addEventListener(name, point));
    sinkMap.dark.addEventListener("change", redraw);
    let waiting = null;
    window.addEventListener("resize", () => {
      clearTimeout(waiting);
      waiting = setTimeout(redraw, REDRAW_MS);
    });
  }

  function redraw() {
    sinkMap.resize();
    if (state.values) paint();
    sinkViews.draw();
  }

  const yearOf = (i) => months().month[i].slice(0, 4);
  const monthOf = (i) => Number(months().month[i].slice(5));

  // The month of a year, or the nearest that the map has.
  function indexOf(year, number) {
    const wanted = `${year}-${String(number).padStart(2, "0")}`;
    const found = months().month.indexOf(wanted);
    if (found >= 0) return found;
    return wanted < months().month[0] ? 0 : months().month.findLastIndex((m) => m <= wanted);
  }

  function go(index) {
    state.index = Math.max(0, Math.min(months().month.length - 1, index));
    return show();
  }

  function play(on) {
    clearInterval(timer);
    timer = on ? setInterval(() => {
      if (state.index + 1 >= months().month.length) play(false);
      else show((state.index += 1));
    }, PLAY_MS) : null;
    if (on && state.index + 1 >= months().month.length) state.index = Math.max(0, state.index - 12);
    byId("play").textContent = on ? "Pause" : "Play";
    byId("play").setAttribute("aria-pressed", String(on));
  }

  // Shows the month that is chosen; what arrives late for another choice is dropped.
  async function show() {
    const asked = (state.asked += 1);
    const { index } = state;
    controls(index);
    try {
      const layers = await sinkPage.loadYear(Number(yearOf(index)));
      if (asked !== state.asked) return;
      state.values = field(layers, monthOf(index));
      paint();
      byId("map-status").textContent = state.values.some((v) => !Number.isNaN(v))
        ? about(index) : `No value of this domain. ${about(index)}`;
    } catch (error) {
      if (asked === state.asked) byId("map-status").textContent = error.message;
    }
    document.documentElement.dataset.shown = `${months().month[index]} ${layerName()}`;
  }

  function controls(index) {
    const month = months().month[index];
    byId("year").value = yearOf(index);
    const slider = byId("month");
    // All twelve, so that it stands above its mark: a month that is not there snaps back.
    slider.value = monthOf(index);
    slider.setAttribute("aria-valuetext", `${monthName(month)}, ${statusOf(index)}`);
    byId("month-before").disabled = byId("year-before").disabled = index === 0;
    byId("month-after").disabled = byId("year-after").disabled = index === months().month.length - 1;
    byId("map-caption").textContent = `${monthName(month)}: ${TITLES[state.kind]}, ${PLACES[state.domain]}`;
    const marks = LETTERS.map((letter, k) => {
      const i = months().month.indexOf(`${yearOf(index)}-${String(k + 1).padStart(2, "0")}`);
      const item = make("li", "", { class: i === index ? "now" : "" });
      const status = i < 0 ? "absent" : statusOf(i);
      item.append(
        make("span", letter, { class: "letter", "aria-hidden": "true" }),
        make("span", "", { class: `mark ${status}`, "aria-hidden": "true" }),
        make("span", `${monthName(`2000-${String(k + 1).padStart(2, "0")}`).split(" ")[0]}: ${status}`, { class: "unseen" }),
      );
      return item;
    });
    byId("marks").replaceChildren(...marks);
  }

  // Status, coverage, forcing and who speaks, in one sentence.
  function about(i) {
    const all = months();
    const parts = [`Forcing ${statusOf(i) === "unknown" ? "status not stated" : statusOf(i)}`];
    if (all.coverage[i] !== null && all.coverage[i] < 1) parts.push(`${Math.round(100 * all.coverage[i])} % of days seen`);
    const source = all.sources[all.source[i]];
    if (source) parts.push(`from ${source.replaceAll("+", ", ")}`);
    if (all.revision[i]) parts.push(`revised ${all.revision[i]} times`);
    const known = domainsShown().filter((d) => all[`${d}_simulated`] && all[`${d}_simulated`][i] >= 0);
    const silent = known.filter((d) => all[`${d}_simulated`][i] === 0);
    known.filter((d) => !silent.includes(d)).forEach((d) => {
      parts.push(`${all[`${d}_simulated`][i]} of ${all[`${d}_teachers`]} ${d} teachers have simulated it`);
    });
    if (silent.length) {
      parts.push(`no teacher of ${silent.join(" or ")} has simulated it: the emulator alone speaks`);
    }
    return `${parts.join("; ")}.`;
  }

  // Values by position in the grid, g m-2 yr-1; of both domains per area of the cell.
  function field(layers, month) {
    const values = new Float32Array(grid.rows * grid.columns).fill(NaN);
    domainsShown().forEach((domain) => {
      const layer = layers[`${domain}_${state.kind}`];
      const found = layer && layer.months.get(month);
      if (!found) return;
      grid.cells[domain].forEach((position, i) => {
        if (state.domain !== "both") {
          values[position] = found[i];
          return;
        }
        const part = found[i] * grid.share[domain][position];
        const other = values[position];
        if (Number.isNaN(part)) return;
        if (Number.isNaN(other)) values[position] = part;
        else values[position] = state.kind === "mean" ? other + part : Math.hypot(other, part);
      });
    });
    return values;
  }

  function paint() {
    const layer = sinkPage.night.layers[layerName()];
    const isMean = state.kind === "mean";
    sinkMap.draw(state.values, layer.limit, isMean);
    const words = isMean ? "Purple takes up carbon, orange gives it off." : "";
    sinkMap.drawBar(layer.limit, isMean, `${UNIT}, per m\u00b2 of ${AREAS[state.domain]}`, words);
    const steps = domainsShown().map((d) => `${sinkMap.number(sinkPage.night.layers[`${d}_${state.kind}`].step / 2)} on ${AREAS[d]}`);
    const added = state.domain !== "both" ? "" : isMean
      ? " Land and sea of a cell are added."
      : " Land and sea of a cell are added in quadrature, as if independent.";
    const absent = Object.keys(KINDS).filter((kind) => !(`${state.domain}_${kind}` in sinkPage.night.layers));
    const lacking = absent.length ? ` Not in this map: ${absent.map((kind) => ABSENT[kind]).join("; ")}.` : "";
    byId("map-note").textContent = `Values are rounded for this page, to \u00b1${steps.join(" and \u00b1")} ${UNIT}; the colours stay the same in all months. Grey: no teacher has a flux. The coast is the edge of cells that are mostly land.${added}${lacking}`;
    readCell();
  }

  function point(event) {
    const bounds = byId("map").getBoundingClientRect();
    const place = equalEarth.inverse(
      (event.clientX - bounds.left) / bounds.width, (event.clientY - bounds.top) / bounds.height);
    if (!place) return;
    byId("cell-lat").value = place[0].toFixed(1);
    byId("cell-lon").value = place[1].toFixed(1);
    readCell();
  }

  function readCell() {
    if (!state.values) return;
    const [lat, lon] = [Number(byId("cell-lat").value), Number(byId("cell-lon").value)];
    const position = sinkMap.position(lat, lon);
    const value = position < 0 ? NaN : state.values[position];
    const said = Number.isNaN(value) ? "no value" : `${sinkMap.number(value)} ${UNIT}`;
    byId("cell-value").textContent = `${said} (${monthName(months().month[state.index])})`;
  }

  start().catch((error) => {
    byId("map-status").textContent = error.message;
    throw error;
  });
})();
