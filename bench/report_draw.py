"""The pictures of report.py. Needs matplotlib."""

import math
import re

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

# Colours that colour-blind readers tell apart (Okabe and Ito), as in the other pictures.
COLOURS = {"bf16": "#0072b2", "f32": "#d55e00", "f16": "#009e73", "int8": "#cc79a7", "fp8": "#e69f00"}
MARKS = {"dense": "o", "packed75": "P", "packed50": "s", "packed37": "D", "packed25": "v"}
LINE_HEIGHT = 1.2  # of a name beside the roofline's axis, as a ratio of rates
INK, FAINT, GRID = "#222222", "#767676", "#e4e4e4"
NAME = re.compile(r"attend/(decode|prefix)/(\w+)/(\w+)/g(\d+)/q(\d+)/threads:(\d+)")

matplotlib.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "rota", "font.family": "sans-serif", "font.size": 11,
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"], "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": FAINT, "axes.labelcolor": INK, "xtick.color": FAINT, "ytick.color": FAINT,
    "axes.grid": True, "grid.color": GRID, "axes.axisbelow": True, "axes.titlesize": 12, "axes.titlelocation": "left"})


class Point:
    """A line attend/... that was measured."""

    def __init__(self, match, counters):
        self.family, self.store, self.codec = match.group(1, 2, 3)
        self.group, self.queries, self.threads = (int(number) for number in match.group(4, 5, 6))
        self.counters = counters

    def __getitem__(self, counter):
        return self.counters[counter]


def points_of(lines, *needed):
    matches = ((NAME.fullmatch(name), counters) for name, counters in lines.items())
    return [Point(match, counters) for match, counters in matches
            if match and match.group(2) in MARKS and match.group(3) in COLOURS and all(c in counters for c in needed)]


def key(codecs, stores=()):
    """Entries of a legend: colours, then marks."""
    colours = [Line2D([], [], color=COLOURS[c], lw=0, marker="o", ms=7, label=c) for c in COLOURS if c in codecs]
    marks = [Line2D([], [], color=FAINT, lw=0, marker=MARKS[s], ms=7, label=s) for s in MARKS if s in stores]
    return colours + marks


def save(figure, path):
    figure.savefig(path, bbox_inches="tight", **({"metadata": {"Date": None}} if str(path).endswith(".svg") else {"dpi": 100}))


def roofs_of(lines, threads):
    """(bytes a second of the read probe, {name: rate of an arithmetic probe}), in GB and GFLOP."""
    probes = {name: counters for name, counters in lines.items() if re.fullmatch(rf"probe/\w+/threads:{threads}", name)}
    flat = {counter.removesuffix("_gflops"): value for counters in probes.values()
            for counter, value in counters.items() if counter.endswith("_gflops")}
    return probes.get(f"probe/read/threads:{threads}", {}).get("read_gbs"), flat


def plain_numbers(axis, places):
    axis.set_major_locator(FixedLocator(places if len(places) < 10 else places[::2]))  # the words must not touch
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def draw_roofs(axes, read, flat, left, right):
    best = max(flat.values())
    axes.plot([left, best / read], [left * read, best], color=INK, lw=1.5)
    (x0, y0), (x1, y1) = axes.transData.transform([(1, read), (2, 2 * read)])
    axes.text(left * 1.15, left * read * 1.4, f"read {read:.1f} GB/s", color=INK, rotation_mode="anchor",
              rotation=math.degrees(math.atan2(y1 - y0, x1 - x0)))
    last = 0.0
    for name, rate in sorted(flat.items(), key=lambda each: each[1]):
        axes.plot([rate / read, right], [rate, rate], color=INK, lw=1.5, ls="-" if rate == best else "--")
        last = max(rate, LINE_HEIGHT * last)  # names beside the axes keep apart
        axes.text(right * 1.08, last, f"{name} {rate:.0f}", va="center", color=INK)


def roofline(lines, path):
    """Of every line its operations a byte against its operations a second, one panel a number of threads."""
    points = points_of(lines, "flops", "store_bytes", "seconds")
    roofs = {threads: roofs_of(lines, threads) for threads in sorted({p.threads for p in points})}
    panels = {threads: roof for threads, roof in roofs.items() if roof[0] and roof[1]}
    if not panels:
        return False
    place = lambda p: (p["flops"] / p["store_bytes"], p["flops"] / p["seconds"] / 1e9)
    xs, ys = zip(*map(place, points))
    left, right = min(xs) / 1.6, max(max(xs) * 1.6, 2 * max(max(f.values()) / r for r, f in panels.values()))
    top = 1.6 * max(max(flat.values()) for _, flat in panels.values())
    bottom = min(*ys, left * min(read for read, _ in panels.values())) / 1.6
    figure = Figure(figsize=(6.6 * len(panels), 5))
    figure.subplots_adjust(left=0.08, right=0.85, wspace=0.42)
    for i, (threads, (read, flat)) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), i + 1, xscale="log", yscale="log", xlim=(left, right), ylim=(bottom, top))
        axes.set_title(f"{threads} thread{'s' * (threads > 1)}")
        axes.set_xlabel("operations for a byte of the store")
        axes.set_ylabel("GFLOP/s")
        plain_numbers(axes.xaxis, [2.0**n for n in range(-2, 12) if left < 2.0**n < right])
        plain_numbers(axes.yaxis, [m * 10.0**n for n in range(-1, 5) for m in (1, 2, 5) if bottom < m * 10.0**n < top])
        draw_roofs(axes, read, flat, left, right)
        for p in points:
            if p.threads == threads:
                axes.plot(*place(p), MARKS[p.store], color=COLOURS[p.codec], ms=7, mec="white", mew=0.7)
    figure.legend(handles=key({p.codec for p in points}, {p.store for p in points}), loc="center left",
                  bbox_to_anchor=(0.85 + 1.2 / figure.get_figwidth(), 0.5), frameon=False)
    save(figure, path)
    return True


def curves_of(points):
    """Lines of one codec, sorted by bytes, of one kv head's number of query heads."""
    curves = {}
    for p in points:
        curves.setdefault(p.group, {}).setdefault(p.codec, []).append((p["byte_ratio"], p["time_ratio"], p.store))
    return {group: {codec: sorted(places) for codec, places in of_codec.items()} for group, of_codec in sorted(curves.items())}


def bytes_time(lines, path):
    """Bytes of a store against the time of a step, both over the dense bf16 store's; one panel a G."""
    points = [p for p in points_of(lines, "byte_ratio", "time_ratio") if (p.family, p.queries, p.threads) == ("decode", 1, 2)]
    panels = curves_of(points)
    if not panels:
        return False
    most = 1.08 * max(max(p["byte_ratio"], p["time_ratio"]) for p in points)
    figure = Figure(figsize=(4.6 * len(panels) + 1.6, 4.6))
    for i, (group, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), i + 1, aspect="equal", xlim=(0, most), ylim=(0, most))
        axes.set_title(f"{group} query head{'s' * (group > 1)} a kv head")
        axes.set_xlabel("bytes over dense bf16")
        if i == 0:
            axes.set_ylabel("time over dense bf16")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.plot([0, most], [0, most], color=FAINT, lw=1, ls="--")
        for codec, places in curves.items():
            axes.plot([x for x, _, _ in places], [y for _, y, _ in places], color=COLOURS[codec], lw=1.5)
            for x, y, store in places:
                axes.plot(x, y, MARKS[store], color=COLOURS[codec], ms=7, mec="white", mew=0.7)
    diagonal = Line2D([], [], color=FAINT, lw=1, ls="--", label="time as bytes")
    figure.legend(handles=[*key({p.codec for p in points}, {p.store for p in points}), diagonal], loc="center left",
                  bbox_to_anchor=(0.91, 0.5), frameon=False)
    save(figure, path)
    return True
