// Offsets and lengths on the wire count Unicode code points; JavaScript's strings count UTF-16 units.

/** How many code points `text` has. */
export function count(text) {
  let points = 0;
  for (const _ of text) points += 1;
  return points;
}

/** The first `points` code points of `text`; all of it if it has fewer. */
export function head(text, points) {
  let units = 0;
  for (const point of text) {
    if (points-- <= 0) break;
    units += point.length;
  }
  return text.slice(0, units);
}
