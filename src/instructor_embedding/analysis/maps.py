"""Maps: vectors in two dimensions, as a png or as a page without further files."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from instructor_embedding.errors import InputError, choose
from instructor_embedding.extras import need
from instructor_embedding.files.atomic import replacing
from instructor_embedding.vectors import Float32, checked, unit

METHODS = ("pca", "umap", "pacmap")
FORMATS = ("png", "html")
COLORS = (
    *("#3366cc", "#dc3912", "#109618", "#ff9900", "#990099", "#0099c6", "#dd4477", "#66aa00", "#b82e2e", "#316395"),
    *("#994499", "#22aa99", "#aaaa11", "#6633cc", "#e67300", "#8b0707", "#329262", "#5574a6", "#3b3eac", "#777777"),
)


class Panel(NamedTuple):
    """One map of a picture.

    Attributes
    ----------
    title : str
    points : float32 of shape (n, 2)
    """

    title: str
    points: Float32


def projected(vectors: Float32, method: str = "pca", seed: int = 0) -> Float32:
    """Return vectors in two dimensions, float32 of shape (n, 2).

    Parameters
    ----------
    vectors : float32 of shape (n, dim)
    method : str
        ``"pca"`` (default): linear, distances are comparable; ``"umap"`` and ``"pacmap"`` show neighborhoods, and need
        the libraries of that name.
    seed : int

    Raises
    ------
    InputError
        The method is unknown, or there are fewer than 3 rows.
    """
    choose("--method", method, METHODS)
    rows = unit(checked(vectors))
    if len(rows) < 3:
        raise InputError(f"a map needs at least 3 texts, got {len(rows)}")
    if method == "pca":
        centered = rows - rows.mean(0)
        _, _, axes = np.linalg.svd(
            centered if len(rows) <= 20_000 else centered[:: len(rows) // 20_000], full_matrices=False
        )
        # the sign of an axis is arbitrary: the largest component is positive, so that maps are reproducible
        axes = axes[:2] * np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(1)])[:, None]
        points: Float32 = np.asarray(centered @ axes.T, np.float32)
        return points
    if method == "umap":
        return np.asarray(need("umap", "--method umap").UMAP(random_state=seed).fit_transform(rows), np.float32)
    return np.asarray(need("pacmap", "--method pacmap").PaCMAP(random_state=seed).fit_transform(rows), np.float32)


def check_path(path: str) -> str:
    """Return the format of a picture by its extension; call it before long work.

    Raises
    ------
    InputError
        It is neither png nor html.
    """
    extension = path.rpartition(".")[2].lower()
    if extension not in FORMATS:
        raise InputError(f"{path}: a map is a .png or a .html file")
    if extension == "png":
        need("matplotlib", "a map as png")
    return extension


def draw(path: str, panels: Sequence[Panel], groups: Sequence[str], texts: Sequence[str]) -> None:
    """Write a picture of one or more maps of the same texts.

    Parameters
    ----------
    path : str
        ``.png``, or ``.html``: a page that shows a text when the pointer is on its point and loads nothing.
    panels : sequence of Panel
    groups : sequence of str
        The group of each text, which is its color; all ``""`` for none.
    texts : sequence of str
    """
    content = _png(panels, groups) if check_path(path) == "png" else _page(panels, groups, texts)
    with replacing(path) as file:
        file.write(content)


def _png(panels: Sequence[Panel], groups: Sequence[str]) -> bytes:
    need("matplotlib", "a map as png")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4 * len(panels), 5.6), dpi=110, layout="constrained")
    names = list(dict.fromkeys(groups))
    labels = np.array([names.index(group) for group in groups])
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        for number, name in enumerate(names):
            points = panel.points[labels == number]
            axes.scatter(points[:, 0], points[:, 1], s=max(4, 40 - len(labels) // 50), color=_color(number), label=name)
        axes.set_title(panel.title, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    if len(names) > 1:
        figure.axes[-1].legend(fontsize=8, loc="best")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _page(panels: Sequence[Panel], groups: Sequence[str], texts: Sequence[str]) -> bytes:
    names = list(dict.fromkeys(groups))
    data = {
        "panels": [{"title": panel.title, "points": _scaled(panel.points)} for panel in panels],
        "groups": [names.index(group) for group in groups],
        "names": names,
        "colors": [_color(number) for number in range(len(names))],
        "texts": list(texts),
    }
    # a text must not end the script
    content = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    title = html.escape(" | ".join(panel.title for panel in panels))
    return _PAGE.replace("@TITLE@", title).replace("@DATA@", content).encode("utf-8", "replace")


def _scaled(points: Float32) -> list[list[float]]:
    """Return points within 0 to 1, with one scale for both axes."""
    low, high = points.min(0), points.max(0)
    scale = float(max((high - low).max(), 1e-9))
    scaled: list[list[float]] = np.round((points - low) / scale + (1 - (high - low) / scale) / 2, 4).tolist()
    return scaled


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>@TITLE@</title>
<meta name="viewport" content="width=device-width">
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 1rem; color: #222; background: #fff }
main { display: flex; flex-wrap: wrap; gap: 1rem } figure { margin: 0 } canvas { border: 1px solid #ccc }
#text { position: fixed; max-width: 24rem; background: #222; color: #fff; padding: .3rem .6rem; pointer-events: none;
  border-radius: .3rem } #text:empty { display: none } li { display: inline-block; margin-right: 1rem }
</style></head><body><ul id="legend"></ul><main></main><div id="text" role="status"></div>
<script>
const data = @DATA@;
const size = 560, edge = 20, note = document.getElementById("text");
const spot = p => [edge + p[0] * (size - 2 * edge), size - edge - p[1] * (size - 2 * edge)];
if (data.names.length > 1) data.names.forEach((name, i) => {
  const item = document.createElement("li"); item.textContent = "\u25cf " + name; item.style.color = data.colors[i];
  document.getElementById("legend").append(item); });
for (const panel of data.panels) {
  const figure = document.createElement("figure"), canvas = document.createElement("canvas");
  const caption = document.createElement("figcaption"); caption.textContent = panel.title;
  canvas.width = canvas.height = size; canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", panel.title);
  const pen = canvas.getContext("2d"); pen.globalAlpha = .75;
  panel.points.forEach((p, i) => { const [x, y] = spot(p); pen.fillStyle = data.colors[data.groups[i]];
    pen.beginPath(); pen.arc(x, y, 4, 0, 7); pen.fill(); });
  canvas.onmousemove = event => { let best = 64, text = "";
    panel.points.forEach((p, i) => { const [x, y] = spot(p), d = (x - event.offsetX) ** 2 + (y - event.offsetY) ** 2;
      if (d < best) { best = d; text = data.texts[i]; } });
    note.textContent = text; note.style.left = event.clientX + 12 + "px"; note.style.top = event.clientY + 12 + "px"; };
  canvas.onmouseleave = () => { note.textContent = ""; };
  figure.append(caption, canvas); document.querySelector("main").append(figure);
}
</script></body></html>
"""
