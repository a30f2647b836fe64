"""The picture of report_cuda.py: the bytes of a store against the time of a step, both over dense."""

from html import escape

from report_cuda_form import shape_of

INK, FAINT, GRID = "#222222", "#8a8a8a", "#e4e4e4"
# Colours that colour-blind readers tell apart (Okabe and Ito), as in the other pictures.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
SIDE, GAP, LEFT, TOP = 250, 60, 70, 90


class Page:
    def __init__(self, width, height):
        self.width, self.height, self.body = width, height, []

    def line(self, x1, y1, x2, y2, colour, width=1.0, dashes=""):
        more = f' stroke-dasharray="{dashes}"' if dashes else ""
        self.body.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
                         f'stroke-width="{width:g}"{more}/>')

    def mark(self, x, y, colour, filled):
        inside = colour if filled else "#ffffff"
        self.body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{inside}" stroke="{colour}" stroke-width="1.5"/>')

    def text(self, x, y, words, anchor="start", size=11, colour=INK, more=""):
        self.body.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{more}>'
                         f"{escape(words)}</text>")

    def document(self):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
                f'height="{self.height}" font-family="DejaVu Sans, Helvetica, Arial, sans-serif">\n'
                '<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(self.body) + "\n</svg>\n")


class Panel:
    """Axes of one batch and context: both start at 0, the dense store is at 1, 1."""

    def __init__(self, page, x, y, top):
        self.page, self.x, self.y, self.top = page, x, y, top

    def at(self, bytes_ratio, time_ratio):
        return self.x + SIDE * min(bytes_ratio / 1.1, 1), self.y + SIDE * (1 - time_ratio / self.top)

    def axes(self, title):
        page = self.page
        for i in range(0, 5):
            x, _ = self.at(i / 4, 0)
            page.line(x, self.y, x, self.y + SIDE, GRID)
            page.text(x, self.y + SIDE + 16, f"{25 * i}%", "middle", 10, FAINT)
        step = 0.25 if self.top <= 2 else self.top / 8
        for i in range(0, int(self.top / step + 1e-9) + 1):
            _, y = self.at(0, i * step)
            page.line(self.x, y, self.x + SIDE, y, GRID)
            page.text(self.x - 6, y + 4, f"{i * step:.2f}", "end", 10, FAINT)
        page.line(*self.at(0, 0), *self.at(1, 1), FAINT, 1, "4 4")
        page.text(self.x, self.y - 10, title, size=12)
        page.text(self.x + SIDE / 2, self.y + SIDE + 34, "bytes of the store over dense", "middle")

    def line(self, rows, dense, colour, filled):
        points = sorted((r["kv_bytes_ratio"], r["microseconds"] / dense["microseconds"]) for r in rows)
        places = [self.at(*p) for p in points]
        for a, b in zip(places, places[1:]):
            self.page.line(*a, *b, colour, 1.5, "" if filled else "3 3")
        for p in places:
            self.page.mark(*p, colour, filled)


def groups_of(rows, key):
    found = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return dict(sorted(found.items()))


def draw_panel(panel, rows, names):
    for shape, same in groups_of(rows, shape_of).items():
        dense = next(r for r in same if r["store"] == "dense")
        colour = COLOURS[names.index(shape[2:]) % len(COLOURS)]
        for kind, filled in (("packed", True), ("tokens", False)):
            chosen = [r for r in same if r["store"].startswith(kind)]
            panel.line(chosen + [dense], dense, colour, filled)


def picture(gpu, rows):
    """Of rows of decoding, each shape with its dense store. None: there are no rows."""
    if not rows:
        return None
    dense = {shape_of(r): r["microseconds"] for r in rows if r["store"] == "dense"}
    most = max(r["microseconds"] / dense[shape_of(r)] for r in rows)
    top = max(1.25, most * 1.05)
    panels = groups_of(rows, lambda r: (r["batch"], r["context"]))
    names = sorted({shape_of(r)[2:] for r in rows})
    width = LEFT + max(2, len(panels)) * (SIDE + GAP)
    page = Page(width, TOP + SIDE + 70 + 18 * ((len(names) + 1) // 2 + 1))
    page.text(LEFT, 28, f"One step of decoding on {gpu}", size=16, more=' font-weight="bold"')
    page.text(LEFT, 46, "Filled: half of the groups of every survivor. Open: whole tokens. Grey: time falls as bytes do.",
              colour=FAINT)
    page.text(20, TOP + SIDE / 2, "time over dense", "middle",
              more=f' transform="rotate(-90 20 {TOP + SIDE / 2:.1f})"')
    for i, ((batch, context), chosen) in enumerate(panels.items()):
        panel = Panel(page, LEFT + i * (SIDE + GAP), TOP, top)
        panel.axes(f"batch {batch}, {context} tokens")
        draw_panel(panel, chosen, names)
    for i, (q_heads, kv_heads, queries) in enumerate(names):
        x, y = LEFT + i % 2 * 280, TOP + SIDE + 62 + 18 * (i // 2)
        page.mark(x, y, COLOURS[i % len(COLOURS)], True)
        page.text(x + 12, y + 4, f"{q_heads} query heads, {kv_heads} kv heads, {queries} query tokens")
    return page.document()
