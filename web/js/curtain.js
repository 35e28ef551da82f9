// Draws the two drapes: folds that hang from the top, are gathered by a cord, and fall to the floor.

const SVG = "http://www.w3.org/2000/svg";
const FOLDS = 9;
const STRIPS = 8; // per fold: enough to look round
const TOP = 300; // width at the rail, in the drawing's own units
const CORD = { y: 640, width: 120 };
const HEM = { y: 1000, width: 168 };

export function drawCurtains() {
  for (const drape of document.querySelectorAll(".drape")) {
    drape.append(path(strip(0, 1), "velvet"));
    for (let index = 0; index < FOLDS * STRIPS; index += 1) {
      const light = Math.sin((index / STRIPS) * 2 * Math.PI) * (0.55 + 0.45 * Math.sin(index * 0.7));
      const shade = path(strip(index / (FOLDS * STRIPS), (index + 1.2) / (FOLDS * STRIPS)), light < 0 ? "dark" : "lit");
      shade.setAttribute("fill-opacity", Math.abs(light).toFixed(3));
      drape.append(shade);
    }
    drape.append(path(cord(), "cord"));
  }
}

/** The strip of cloth between the shares `from` and `to` of the width. */
function strip(from, to) {
  const down = (x) =>
    `C${x * TOP} 260 ${x * (CORD.width + 60)} 520 ${x * CORD.width} ${CORD.y}` +
    `C${x * CORD.width} 760 ${x * HEM.width} 860 ${x * HEM.width} ${HEM.y}`;
  const up = (x) =>
    `C${x * HEM.width} 860 ${x * CORD.width} 760 ${x * CORD.width} ${CORD.y}` +
    `C${x * (CORD.width + 60)} 520 ${x * TOP} 260 ${x * TOP} 0`;
  return `M${from * TOP} 0${down(from)}H${to * HEM.width}${up(to)}Z`;
}

function cord() {
  const { y, width } = CORD;
  return `M0 ${y - 34}C${width * 0.4} ${y - 22} ${width * 0.8} ${y - 14} ${width} ${y}V${y + 9}C${width * 0.8} ${y - 2} ${width * 0.4} ${y - 12} 0 ${y - 22}Z`;
}

function path(d, className) {
  const node = document.createElementNS(SVG, "path");
  node.setAttribute("d", d);
  node.setAttribute("class", className);
  return node;
}
