"""Write the table of speeds into the README and its picture into docs, from ``results/speed.json``.

python benchmarks/speed_table.py
"""

from __future__ import annotations

import json

import matplotlib
from peers import ROOT

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RESULTS = ROOT / "benchmarks" / "results" / "speed.json"
PICTURE = ROOT / "docs" / "speed.png"
START, END = "<!-- speed: benchmarks/speed_table.py writes this -->", "<!-- /speed -->"
NAMES = {
    "original": "InstructorEmbedding 1.0.1",
    "original, quantize_dynamic": "the same, quantize_dynamic",
    "sentence-transformers": "sentence-transformers 6.2",
    "torch exact": "**here, exact**",
    "torch fast": "**here, fast** (bfloat16)",
    "torch int8": "**here, int8**",
    "openvino exact": "OpenVINO, our graph, float32",
    "openvino fast": "OpenVINO, our graph, bfloat16",
    "openvino int8 (NNCF)": "OpenVINO, our graph, NNCF int8",
    "onnx exact": "ONNX Runtime, our graph, float32",
    "onnx int8": "ONNX Runtime, our graph, dynamic int8",
}


def table(result: dict) -> str:
    engines, counts, machine = result["engines"], result["counts"], result["machine"]
    base = engines["original"]
    lines = [
        f"| engine | {counts['short']} short texts, s | {counts['mixed']} passages, s | one text, ms "
        "| times the original | lowest cosine | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, shown in NAMES.items():
        if name in engines:
            facts = engines[name]
            ratio = " / ".join(f"{base[work] / facts[work]:.1f}" for work in counts)
            lines.append(
                f"| {shown} | {facts['short']:.2f} | {facts['mixed']:.2f} | {facts['one'] * 1000:.1f} | {ratio} "
                f"| {facts['cosine']:.5f} | {facts['memory']:.0f} |"
            )
    machine_name = f"{machine['cores']} cores of an {machine['cpu']}, {machine['date']}"
    caption = f"Base shape, random weights, complete `encode` calls, {machine_name}."
    return "\n".join([caption, "", *lines])


def picture(result: dict) -> None:
    engines = {name: facts for name, facts in result["engines"].items() if name in NAMES}
    figure, axes = plt.subplots(1, 2, figsize=(9, 0.42 * len(engines) + 1), sharey=True)
    labels = [NAMES[name].replace("*", "") for name in engines]
    for axis, work in zip(axes, ("short", "mixed"), strict=True):
        rates = [result["counts"][work] / facts[work] for facts in engines.values()]
        colors = ["#c0562f" if name.startswith("torch") else "#9aa5b1" for name in engines]
        bars = axis.barh(labels, rates, color=colors)
        axis.bar_label(bars, [f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}" for rate in rates], padding=3)
        axis.set_xlim(0, max(rates) * 1.15)
        axis.set_xlabel("texts a second")
        axis.set_title("short texts" if work == "short" else "passages")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    result = json.loads(RESULTS.read_text(encoding="utf-8"))
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(START)
    _, after = rest.split(END)
    readme.write_text(f"{before}{START}\n\n{table(result)}\n\n{END}{after}", encoding="utf-8")
    picture(result)


if __name__ == "__main__":
    main()
