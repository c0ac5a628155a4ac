"""Draws lines into an SVG file: enough for the plots of doc/performance.md, without a library. Both axes are logarithmic."""
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 440, 70, 170, 46, 56
COLOURS = ["#1f6fb4", "#7a7a7a", "#c8552b", "#3b8f4a", "#8a52a8"]       # readable on white and on black


def short(v):
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if v >= size:
            return f"{v / size:g}{unit}"
    return f"{v:g}"


def ticks(low, high):
    """1, 2 and 5 of every decade within the range."""
    found, decade = [], 10.0 ** math.floor(math.log10(low))
    while decade <= high:
        found += [decade * m for m in (1, 2, 5) if low <= decade * m <= high * 1.0001]
        decade *= 10
    return found


class Axis:
    def __init__(self, values, start, end):
        self.low, self.high = min(values), max(values)
        if self.high <= self.low:
            self.low, self.high = self.low / 2, self.low * 2
        self.start, self.end = start, end

    def at(self, v):
        part = (math.log(v) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return self.start + part * (self.end - self.start)


def lines(path, title, across, up, series):
    """series: [(name, group, dashed, [(x, y)])], everything above 0; members of a group have one colour. Returns the path."""
    points = [p for _, _, _, found in series for p in found]
    if not points:
        raise ValueError("nothing to draw")
    x = Axis([p[0] for p in points], LEFT, WIDTH - RIGHT)
    y = Axis([p[1] for p in points], HEIGHT - BOTTOM, TOP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>']
    for v in ticks(x.low, x.high):
        out.append(f'<path d="M{x.at(v):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>'
                   f'<text x="{x.at(v):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{short(v)}</text>')
    for v in ticks(y.low, y.high):
        out.append(f'<path d="M{LEFT} {y.at(v):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 6}" y="{y.at(v) + 4:.1f}" text-anchor="end">{short(v)}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">{escape(across)}</text>'
               f'<text x="16" y="{(TOP + HEIGHT - BOTTOM) / 2}" text-anchor="middle" '
               f'transform="rotate(-90 16 {(TOP + HEIGHT - BOTTOM) / 2})">{escape(up)}</text>')
    groups = list(dict.fromkeys(group for _, group, _, _ in series))
    for i, (name, group, dashed, found) in enumerate(series):
        style = f'stroke="{COLOURS[groups.index(group) % len(COLOURS)]}" stroke-width="2"' + (' stroke-dasharray="6 4"' if dashed else "")
        if found:
            out.append(f'<polyline fill="none" {style} points="' + " ".join(f"{x.at(a):.1f},{y.at(b):.1f}" for a, b in found) + '"/>')
        at = TOP + 10 + 20 * i
        out.append(f'<path d="M{WIDTH - RIGHT + 14} {at}h28" {style}/><text x="{WIDTH - RIGHT + 48}" y="{at + 4}">{escape(name)}</text>')
    out.append("</svg>")
    with open(path, "w") as f:
        f.write("\n".join(out) + "\n")
    return path
