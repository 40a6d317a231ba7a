"""What `make demo` runs: the bundled model on real text, without a network."""

import ast
import sysconfig
import time
from pathlib import Path

import numpy as np

from instructor_embedding import INSTRUCTOR, Instruction

PICTURE = Path(".demo") / "instructions.png"
QUESTIONS = [
    "How do I compress a file?",
    "Read a table of comma separated values",
    "send an e-mail",
    "draw a random number",
    "What is the time in another city?",
]
# what they speak of, whether it pleased, and what was said
REVIEWS = [
    ("food", "good", "The soup was wonderful and the bread came warm from the oven."),
    ("food", "good", "Best pasta in town, I loved every bite."),
    ("food", "good", "Fresh fish, a friendly waiter, a perfect dinner."),
    ("food", "good", "Their chocolate cake is delicious, we were delighted."),
    ("food", "bad", "The soup was cold and the bread was stale."),
    ("food", "bad", "Terrible pasta, I could not finish my plate."),
    ("food", "bad", "The fish smelled awful and the waiter was rude."),
    ("food", "bad", "A dry and tasteless cake, what a disappointment."),
    ("film", "good", "A wonderful film, the actors are a joy to watch."),
    ("film", "good", "I loved this movie, the best comedy of the year."),
    ("film", "good", "A perfect thriller with a brilliant director."),
    ("film", "good", "The ending of the film is beautiful, we were delighted."),
    ("film", "bad", "An awful film, the actors seem bored."),
    ("film", "bad", "I hated this movie, the worst comedy of the year."),
    ("film", "bad", "A terrible thriller, the director should be ashamed."),
    ("film", "bad", "The ending of the film is stupid, what a disappointment."),
]
BY_TOPIC = Instruction("review", objective="clustering by topic")
BY_SENTIMENT = Instruction("review", objective="classifying its sentiment")


def documentation() -> dict[str, str]:
    """Return the first lines of the documentation of this Python's own modules, by module."""
    found = {}
    for file in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        try:
            text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
        except (SyntaxError, UnicodeDecodeError):
            continue
        if text and not file.stem.startswith("_"):
            found[file.stem] = " ".join(text.split())[:300]
    return found


def retrieve(model: INSTRUCTOR) -> None:
    modules = documentation()
    asked = Instruction("question", "programming", "retrieving the matching documentation")
    documented = Instruction("documentation", "programming", "retrieval")
    scores = model.similarity(
        model.encode(QUESTIONS, instruction=asked), model.encode(list(modules.values()), instruction=documented)
    )
    print(f"\nThe documentation of {len(modules)} of Python's modules, searched by meaning:")
    for question, row in zip(QUESTIONS, np.asarray(scores), strict=True):
        best = [list(modules)[place] for place in np.argsort(-row)[:3]]
        print(f"  {question:42} {', '.join(best)}")


def turn(model: INSTRUCTOR) -> dict[str, np.ndarray]:
    """Show the neighbors of one review under two instructions, and what clusters then share."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    texts = [text for _, _, text in REVIEWS]
    vectors = {str(asked): model.encode(texts, instruction=asked) for asked in (BY_TOPIC, BY_SENTIMENT)}
    print(f"\nNearest to {texts[0]!r}")
    for asked, rows in vectors.items():
        print(f"  {asked}")
        for place in np.argsort(-(rows @ rows[0]))[1:4]:
            print(f"    {rows[place] @ rows[0]:.2f}  {texts[place]}")
    print("\nTwo clusters of the reviews, and how well they fit (1: exactly, 0: by chance)")
    print(f"  {'':56}{'topic':>7}{'sentiment':>11}")
    for asked, rows in vectors.items():
        clusters = KMeans(2, n_init=10, random_state=0).fit_predict(rows)
        fits = [adjusted_rand_score([review[column] for review in REVIEWS], clusters) for column in (0, 1)]
        print(f"  {asked:56}{fits[0]:7.2f}{fits[1]:11.2f}")
    return vectors


def draw(vectors: dict[str, np.ndarray]) -> None:
    """Draw the reviews under each instruction on the two axes along which they differ most."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(vectors), figsize=(10, 4.6), constrained_layout=True)
    colors, shapes = {"good": "tab:green", "bad": "tab:red"}, {"food": "o", "film": "^"}
    for panel, (asked, rows) in zip(panels, vectors.items(), strict=True):
        moved = rows - rows.mean(0)
        places = moved @ np.linalg.svd(moved, full_matrices=False)[2][:2].T
        for topic, shape in shapes.items():
            for sentiment, color in colors.items():
                some = [n for n, (a, b, _) in enumerate(REVIEWS) if (a, b) == (topic, sentiment)]
                panel.scatter(*places[some].T, c=color, marker=shape, s=70, label=f"{topic}, {sentiment}")
        panel.set(title=asked.strip(), xticks=[], yticks=[])
    panels[-1].legend(loc="best", frameon=False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=120)
    print(f"\nThe same reviews under both instructions, drawn: {PICTURE}")


def measure(model: INSTRUCTOR) -> None:
    texts = [f"{text} {number}" for number in range(125) for _, _, text in REVIEWS]
    model.encode(texts[:64], instruction=BY_TOPIC)
    start = time.perf_counter()
    model.encode(texts, instruction=BY_TOPIC)
    print(f"\n{len(texts) / (time.perf_counter() - start):,.0f} short texts a second on this machine.")


def main() -> None:
    start = time.perf_counter()
    model = INSTRUCTOR()
    seconds = time.perf_counter() - start
    print(f"instructor-mini, loaded in {seconds:.2f} s: {model.get_sentence_embedding_dimension()} dimensions.")
    retrieve(model)
    draw(turn(model))
    measure(model)


if __name__ == "__main__":
    main()
