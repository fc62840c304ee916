"use strict";
// The map: colours, the canvas, its lines and the bar below it.
const sinkMap = (() => {
  // ColorBrewer (Brewer 2013), PuOr, as the package's figures; release to uptake. In
  // the dark the middle is dark, so that nothing happening does not glare.
  const DIVERGING = {
    light: ["7f3b08", "b35806", "e08214", "fdb863", "fee0b6", "f7f7f7",
      "d8daeb", "b2abd2", "8073ac", "542788", "2d004b"],
    dark: ["ffd8a0", "fdb863", "e08214", "a85c10", "5c3613", "232833",
      "3b3357", "5d4f8c", "8073ac", "b2abd2", "e4e0f5"],
  };
  // Viridis (Smith and van der Walt 2015), even to the eye and safe for colour-blind
  // readers; dark is little in the dark, light is little in the light.
  const VIRIDIS = ["440154", "482878", "3e4a89", "31688e", "26828e", "1f9e89",
    "35b779", "6ece58", "b5de2b", "fde725"];
  const SEQUENTIAL = { light: [...VIRIDIS].reverse(), dark: VIRIDIS };
  const GROUND = { light: "cfd6de", dark: "4b5663" }; // cells without a value
  const LINES = {
    light: { coast: "#27313d", graticule: "rgba(60, 72, 88, 0.22)", rim: "#8592a1" },
    dark: { coast: "#d5dde6", graticule: "rgba(200, 210, 222, 0.16)", rim: "#5b6878" },
  };
  const COLOURS = 255;
  const LARGEST_WIDTH = 1800; // device pixels; beyond it a redraw is no longer instant

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const theme = () => (dark.matches ? "dark" : "light");

  let grid = null;
  let pixels = null; // position in the grid of every pixel
  let image = null;

  function setGrid(found) {
    grid = found;
  }

  // Fits both canvases to their place and redraws the lines.
  function resize() {
    const map = document.getElementById("map");
    const scale = Math.min(window.devicePixelRatio || 1, 2);
    const wanted = Math.round(map.clientWidth * scale);
    const width = Math.max(64, Math.min(wanted, LARGEST_WIDTH));
    const height = Math.round(width * equalEarth.ratio);
    if (!pixels || map.width !== width) {
      map.width = width;
      map.height = height;
      pixels = equalEarth.pixelCells(width, height, grid);
      image = map.getContext("2d").createImageData(width, height);
    }
    drawLines();
  }

  // values: by position in the grid, NaN where missing; limit: end of the colours.
  function draw(values, limit, isDiverging) {
    const scheme = isDiverging ? DIVERGING : SEQUENTIAL;
    const colours = ramp(scheme[theme()]);
    const ground = packed(rgb(GROUND[theme()]));
    const cells = new Uint32Array(values.length);
    for (let i = 0; i < values.length; i += 1) {
      const share = isDiverging ? (values[i] / limit + 1) / 2 : values[i] / limit;
      const level = Math.round(Math.max(0, Math.min(1, share)) * (COLOURS - 1));
      cells[i] = Number.isNaN(values[i]) ? ground : colours[level];
    }
    const out = new Uint32Array(image.data.buffer);
    for (let p = 0; p < pixels.length; p += 1) {
      out[p] = pixels[p] < 0 ? 0 : cells[pixels[p]];
    }
    document.getElementById("map").getContext("2d").putImageData(image, 0, 0);
  }

  function drawBar(limit, isDiverging, unit, words) {
    const scheme = (isDiverging ? DIVERGING : SEQUENTIAL)[theme()];
    const stops = scheme.map((colour) => `#${colour}`).join(", ");
    const bar = document.getElementById("bar-colours");
    bar.style.background = `linear-gradient(to right, ${stops})`;
    const shares = isDiverging ? [-1, -0.5, 0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1];
    const ticks = shares.map((share) => {
      const tick = document.createElement("span");
      const text = number(share * limit);
      const sign = share === 1 ? "\u2265 " : isDiverging && share === -1 ? "\u2264 " : "";
      tick.textContent = sign + text;
      return tick;
    });
    document.getElementById("bar-ticks").replaceChildren(...ticks);
    document.getElementById("bar-unit").textContent = `${unit}. ${words}`;
    const from = isDiverging ? number(-limit) : "0";
    const label = `Colour bar from ${from} to ${number(limit)} ${unit}. ${words}`;
    document.getElementById("bar").setAttribute("aria-label", label);
  }

  // Coast, graticule and rim, on a canvas of their own: they never change by month.
  function drawLines() {
    const map = document.getElementById("map");
    const canvas = document.getElementById("lines");
    [canvas.width, canvas.height] = [map.width, map.height];
    const pen = canvas.getContext("2d");
    const unit = map.width / Math.max(1, map.clientWidth);
    const colours = LINES[theme()];
    pen.lineWidth = 0.8 * unit;
    pen.strokeStyle = colours.graticule;
    for (let lon = -150; lon <= 150; lon += 30) path(pen, meridian(lon));
    for (let lat = -60; lat <= 60; lat += 30) path(pen, [[lat, -180], [lat, 180]]);
    pen.lineWidth = 1.1 * unit;
    pen.lineCap = "round";
    pen.strokeStyle = colours.coast;
    coast().forEach((line) => path(pen, line));
    pen.strokeStyle = colours.rim;
    path(pen, meridian(-180));
    path(pen, meridian(180));
    for (const pole of [-90, 90]) path(pen, [[pole, -180], [pole, 180]]);
  }

  function path(pen, points) {
    pen.beginPath();
    points.forEach(([lat, lon]) => {
      const [u, v] = equalEarth.forward(lat, lon);
      pen.lineTo(u * pen.canvas.width, v * pen.canvas.height);
    });
    pen.stroke();
  }

  function meridian(lon, from = -90, to = 90) {
    const points = [];
    const pieces = Math.max(1, Math.ceil((to - from) / 2)); // 2 degrees look smooth
    for (let i = 0; i <= pieces; i += 1) points.push([from + ((to - from) * i) / pieces, lon]);
    return points;
  }

  // Edges of cells between mostly land (or sea, in a map of the ocean) and the rest.
  function coast() {
    const share = grid.share.land || grid.share.ocean;
    const inside = (row, column) =>
      share[row * grid.columns + ((column + grid.columns) % grid.columns)] >= 0.5;
    const lines = [];
    for (let row = 0; row < grid.rows; row += 1) {
      const [south, north] = [grid.latEdges[row], grid.latEdges[row + 1]];
      for (let column = 0; column < grid.columns; column += 1) {
        const [west, east] = [grid.lonEdges[column], grid.lonEdges[column + 1]];
        const own = inside(row, column);
        if (own !== inside(row, column - 1)) lines.push(meridian(west, south, north));
        if (row > 0 && own !== inside(row - 1, column)) {
          lines.push([[south, west], [south, east]]);
        }
      }
    }
    return lines;
  }

  // Position in the grid of a place; -1 if the grid does not reach there.
  function position(lat, lon) {
    const row = equalEarth.findCell(grid.latEdges, lat);
    const east = equalEarth.wrapped(lon, grid.lonEdges);
    const column = equalEarth.findCell(grid.lonEdges, east);
    return row < 0 || column < 0 ? -1 : row * grid.columns + column;
  }

  function ramp(stops) {
    const known = stops.map(rgb);
    const colours = new Uint32Array(COLOURS);
    for (let i = 0; i < COLOURS; i += 1) {
      const place = (i / (COLOURS - 1)) * (known.length - 1);
      const left = Math.min(Math.floor(place), known.length - 2);
      const mixed = known[left].map((part, k) =>
        Math.round(part + (known[left + 1][k] - part) * (place - left)));
      colours[i] = packed(mixed);
    }
    return colours;
  }

  function rgb(text) {
    return [0, 2, 4].map((start) => parseInt(text.slice(start, start + 2), 16));
  }

  // The bytes red, green, blue, alpha as one number of this machine.
  function packed([red, green, blue]) {
    return new Uint32Array(new Uint8Array([red, green, blue, 255]).buffer)[0];
  }

  function number(value) {
    return String(Number(value.toPrecision(3))).replace("-", "\u2212");
  }

  return { setGrid, resize, draw, drawBar, position, theme, dark, number };
})();
