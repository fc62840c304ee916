"use strict";
// Equal Earth: equal areas look equal, so that the eye adds up what the budget adds up.
// Savric, Patterson and Jenny (2018), doi:10.1080/13658816.2018.1504949.
const equalEarth = (() => {
  const [A1, A2, A3, A4] = [1.340264, -0.081106, 0.000893, 0.003796];
  const M = Math.sqrt(3) / 2;
  const RADIANS = Math.PI / 180;
  const NEWTON_STEPS = 8; // converges to double precision in fewer everywhere

  const height = (t) => t * (A1 + A2 * t ** 2 + t ** 6 * (A3 + A4 * t ** 2));
  const slope = (t) => A1 + 3 * A2 * t ** 2 + t ** 6 * (7 * A3 + 9 * A4 * t ** 2);
  const width = (t) => Math.cos(t) / (M * slope(t)); // x per radian of longitude

  const TOP = height(Math.PI / 3);
  const SIDE = Math.PI * width(0);

  // Degrees to the unit square, (0, 0) at the upper left.
  function forward(lat, lon) {
    const t = Math.asin(M * Math.sin(lat * RADIANS));
    const x = lon * RADIANS * width(t);
    return [(1 + x / SIDE) / 2, (1 - height(t) / TOP) / 2];
  }

  // The unit square to degrees; null outside of the globe.
  function inverse(u, v) {
    const row = parallel(v);
    if (!row) return null;
    const lon = ((2 * u - 1) * SIDE) / row.width / RADIANS;
    return Math.abs(lon) <= 180 ? [row.lat, lon] : null;
  }

  // Latitude and width of a horizontal line: parallels are straight here.
  function parallel(v) {
    const y = (1 - 2 * v) * TOP;
    if (Math.abs(y) > TOP) return null;
    let t = y / A1;
    for (let i = 0; i < NEWTON_STEPS; i += 1) t -= (height(t) - y) / slope(t);
    const sine = Math.max(-1, Math.min(1, Math.sin(t) / M));
    return { lat: Math.asin(sine) / RADIANS, width: width(t) };
  }

  // For each pixel the position of its cell in the grid, -1 outside of the globe.
  function pixelCells(columns, rows, grid) {
    const cells = new Int32Array(columns * rows).fill(-1);
    for (let j = 0; j < rows; j += 1) {
      const row = parallel((j + 0.5) / rows);
      const lat = row ? findCell(grid.latEdges, row.lat) : -1;
      if (lat < 0) continue;
      for (let i = 0; i < columns; i += 1) {
        const x = (2 * (i + 0.5)) / columns - 1;
        const lon = (x * SIDE) / row.width / RADIANS;
        if (Math.abs(lon) > 180) continue;
        const column = findCell(grid.lonEdges, wrapped(lon, grid.lonEdges));
        if (column >= 0) cells[j * columns + i] = lat * grid.columns + column;
      }
    }
    return cells;
  }

  // Brings a longitude into the range of the edges.
  function wrapped(lon, edges) {
    const west = edges[0];
    return west + ((((lon - west) % 360) + 360) % 360);
  }

  // Number of the cell between increasing edges; -1 if outside.
  function findCell(edges, value) {
    let [low, high] = [0, edges.length - 1];
    if (value < edges[low] || value > edges[high]) return -1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (value >= edges[middle]) low = middle;
      else high = middle;
    }
    return low;
  }

  return { forward, inverse, pixelCells, findCell, wrapped, ratio: TOP / SIDE };
})();
