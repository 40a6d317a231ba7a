"""Gathers the pages of the site in build/pages: docs/, README and its like, the recipe, notebooks and examples."""

import base64
import json
import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "build" / "pages"
# files outside docs/: their names on the site
GATHERED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "recipes/mini/README.md": "recipe.md",
    "CITATION.cff": "CITATION.cff",
}
EXAMPLES = "examples.md"
NOTEBOOKS = ("getting_started", "choosing_an_instruction")
NAVIGATION = {
    "Start": ("index", *NOTEBOOKS, "tour", "instructions", "examples", "faq"),
    "Use": ("search", "bulk", "bulk-recipes", "serving", "integrations", "cli", "migrating", "namesake"),
    "Train and measure": ("training", "training-data", "medi", "evaluation", "evaluation_report", "recipe"),
    "Deploy": ("speed", "quantization", "scale"),
    "Inside": ("architecture", "engine", "api", "decisions/README", "contributing", "changelog"),
}
TITLES = {
    "index": "Overview",
    "cli": "Command line",
    "recipe": "Recipe of instructor-mini",
    "evaluation_report": "Results",
}


def moved(target: str, source: Path) -> str:
    """Return a link of the file `source` in its form on the site."""
    path, mark, anchor = target.partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return target
    name = (source.parent / path).resolve().relative_to(ROOT).as_posix()
    if name.endswith(".ipynb"):
        name = f"{Path(name).stem}.md"
    elif name in ("examples", "examples/") or name.startswith("examples/"):
        name = EXAMPLES
    name = GATHERED.get(name, name.removeprefix("docs/"))
    here = source.parent.relative_to(ROOT).as_posix()
    depth = here.removeprefix("docs").strip("/").count("/") + 1 if here.startswith("docs/") else 0
    return "../" * depth + name + mark + anchor


def page(source: Path) -> str:
    """Return a page with its links changed, those in code blocks excepted."""
    return linked(source.read_text(encoding="utf-8"), source)


def linked(text: str, source: Path) -> str:
    """Return the text of the file `source` with its links in their form on the site."""
    blocks = re.split(r"(^```.*?^```)", text, flags=re.S | re.M)
    for index in range(0, len(blocks), 2):
        blocks[index] = re.sub(r"\]\(([^)\s]+)\)", lambda link: f"]({moved(link[1], source)})", blocks[index])
    return "".join(blocks)


def examples() -> str:
    """Return a page with the example scripts."""
    text = "# Examples\n\nAfter this page you have a complete script for each common task; they are in `examples/`.\n"
    for path in sorted((ROOT / "examples").glob("*.py")):
        text += f"\n## {path.stem.replace('_', ' ').capitalize()}\n\n```python\n{path.read_text(encoding='utf-8')}```\n"
    return text


def notebook(source: Path) -> str:
    """Return a notebook as a page, and write its pictures beside it."""
    text = ""
    for number, cell in enumerate(json.loads(source.read_text(encoding="utf-8"))["cells"]):
        content = "".join(cell["source"])
        text += (
            f"{linked(content, source)}\n\n" if cell["cell_type"] == "markdown" else f"```python\n{content}\n```\n\n"
        )
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                picture = f"{source.stem}-{number}.png"
                (PAGES / picture).write_bytes(base64.b64decode(data["image/png"]))
                text += f"![what the cell draws]({picture})\n\n"
            else:
                text += f"```text\n{''.join(output.get('text') or data['text/plain']).rstrip()}\n```\n\n"
    return text


def navigation() -> str:
    """Return the table of contents; pages that `NAVIGATION` does not name come last."""
    pages = {path.relative_to(PAGES).with_suffix("").as_posix() for path in PAGES.rglob("*.md")}
    named = {name for names in NAVIGATION.values() for name in names}
    groups = NAVIGATION | {"More": sorted(name for name in pages - named if not name.startswith("decisions/"))}
    lines = []
    for group, names in groups.items():
        entries = [f'{{ "{title(name)}" = "{name}.md" }}' for name in names if name in pages]
        if entries:
            lines.append(f'    {{ "{group}" = [{", ".join(entries)}] }},')
    return "nav = [\n" + "\n".join(lines) + "\n]"


def title(name: str) -> str:
    """Return a page's heading."""
    heading = re.match(r"# (.+)", (PAGES / f"{name}.md").read_text(encoding="utf-8"))
    return TITLES.get(name) or (heading[1].replace('"', "'") if heading else name)


def main() -> None:
    """Write build/pages and build/zensical.toml."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for path in sorted((ROOT / "docs").rglob("*")):
        target = PAGES / path.relative_to(ROOT / "docs")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            target.write_text(page(path), encoding="utf-8")
        elif path.suffix in (".css", ".png", ".svg"):
            shutil.copy(path, target)
    for name, target in GATHERED.items():
        content = page(ROOT / name) if name.endswith(".md") else (ROOT / name).read_text(encoding="utf-8")
        (PAGES / target).write_text(content, encoding="utf-8")
    (PAGES / EXAMPLES).write_text(examples(), encoding="utf-8")
    for name in NOTEBOOKS:
        source = ROOT / "examples" / f"{name}.ipynb"
        (PAGES / f"{name}.md").write_text(notebook(source), encoding="utf-8")
    for picture in (ROOT / "recipes" / "mini").glob("*.png"):
        shutil.copy(picture, PAGES)
    settings = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    settings = re.sub(r"^# nav: .*$", lambda _: navigation(), settings, flags=re.M)
    (ROOT / "build" / "zensical.toml").write_text(settings, encoding="utf-8")


if __name__ == "__main__":
    main()
