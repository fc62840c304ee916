"use strict";
// The data of the page: what a night brings at once, and years of maps on demand.
// A page opened from a file may not fetch, but it may add script tags.
const sinkPage = (() => {
  const MISSING = -32768;
  const KEPT_YEARS = 4; // decoded years in memory: enough to step to and fro
  const years = new Map();
  const waiting = new Map();
  let night = null;

  function receiveNight(content) {
    night = content;
  }

  // Called by data/<year>.js. Another mark means that a newer night was published
  // while this page stood open: its numbers must not be mixed with the old ones.
  function receiveYear(mark, content) {
    const wait = waiting.get(content.year);
    if (!wait) return;
    waiting.delete(content.year);
    if (mark !== night.marks[String(content.year)]) {
      wait.fail(new Error("A newer night was published. Load this page again."));
    } else {
      unpackYear(content).then(wait.done, wait.fail);
    }
  }

  // Returns a promise of {"<domain>_<kind>": {step, months: Map(month -> values)}},
  // values in g m-2 yr-1 by cell of the domain, NaN where missing.
  function loadYear(year) {
    if (years.has(year)) return years.get(year);
    const promise = new Promise((done, fail) => {
      waiting.set(year, { done, fail });
      const script = document.createElement("script");
      script.src = `data/${year}.js?v=${night.marks[String(year)]}`;
      script.onload = () => {
        script.remove();
        if (waiting.delete(year)) fail(new Error(`The file of ${year} is damaged.`));
      };
      script.onerror = () => {
        script.remove();
        waiting.delete(year);
        fail(new Error(`The maps of ${year} could not be loaded.`));
      };
      document.head.append(script);
    });
    years.set(year, promise);
    promise.catch(() => years.delete(year)); // the next choice tries again
    if (years.size > KEPT_YEARS) years.delete(years.keys().next().value);
    return promise;
  }

  async function unpackYear(content) {
    const found = {};
    for (const [name, layer] of Object.entries(content.layers)) {
      const codes = await unpack(layer.data);
      const cells = layer.months.length ? codes.length / layer.months.length : 0;
      const months = new Map();
      layer.months.forEach((month, row) => {
        const line = restore(codes.subarray(row * cells, (row + 1) * cells));
        months.set(month, Float32Array.from(line, (code) => toValue(code, layer.step)));
      });
      found[name] = { step: layer.step, months };
    }
    return found;
  }

  // The grid: edges in degrees, and for each domain the share of every cell and the
  // positions of the cells that have any.
  async function unpackGrid() {
    const { latEdges, lonEdges, fractionStep } = night.grid;
    const [rows, columns] = [latEdges.length - 1, lonEdges.length - 1];
    const grid = { latEdges, lonEdges, rows, columns, share: {}, cells: {} };
    for (const domain of ["land", "ocean"]) {
      if (!(domain in night.grid)) continue;
      const codes = await unpack(night.grid[domain]);
      const share = new Float32Array(rows * columns);
      for (let row = 0; row < rows; row += 1) {
        const line = restore(codes.subarray(row * columns, (row + 1) * columns));
        line.forEach((code, column) => {
          share[row * columns + column] = code * fractionStep;
        });
      }
      const positions = [];
      share.forEach((value, position) => {
        if (value > 0) positions.push(position);
      });
      grid.share[domain] = share;
      grid.cells[domain] = Int32Array.from(positions);
    }
    return grid;
  }

  function toValue(code, step) {
    return code === MISSING ? NaN : code * step;
  }

  // Undoes the differences along a row; sums wrap around in 16 bits as they did.
  function restore(folded) {
    const codes = new Int16Array(folded.length);
    let sum = 0;
    for (let i = 0; i < folded.length; i += 1) {
      sum = (sum + ((folded[i] >>> 1) ^ -(folded[i] & 1))) << 16 >> 16;
      codes[i] = sum;
    }
    return codes;
  }

  // Text to folded 16-bit differences: base64, deflate, low bytes then high bytes.
  async function unpack(text) {
    if (typeof DecompressionStream === "undefined") {
      throw new Error("This browser cannot unpack the maps; one of 2023 or later can.");
    }
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream();
    const inflated = stream.pipeThrough(new DecompressionStream("deflate"));
    const raw = new Uint8Array(await new Response(inflated).arrayBuffer());
    const half = raw.length / 2;
    const folded = new Uint16Array(half);
    for (let i = 0; i < half; i += 1) folded[i] = raw[i] | (raw[half + i] << 8);
    return folded;
  }

  return {
    receiveNight,
    receiveYear,
    loadYear,
    unpackGrid,
    get night() {
      return night;
    },
  };
})();
