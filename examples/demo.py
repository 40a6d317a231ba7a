"""What `make demo` runs: the bundled model on real text, without a network."""

import ast
import sysconfig
import time
from pathlib import Path

import numpy as np

from instructor_embedding import INSTRUCTOR, Instruction

PICTURE = Path(".demo") / "instructions.png"
SHOWN = 12  # the comment whose neighbors are shown
QUESTIONS = [
    "How do I compress a file?",
    "Read a table of comma separated values",
    "send an e-mail",
    "draw a random number",
    "What is the time in another city?",
]
# topic, emotion, text
COMMENTS = [
    ("food", "joy", "The soup was wonderful, I am so happy we came here!"),
    ("food", "joy", "Best pasta ever, what a joy, haha!"),
    ("food", "joy", "Yay, my cake turned out great!"),
    ("food", "joy", "We laughed all through dinner, such a happy evening."),
    ("food", "anger", "I am furious, the waiter ignored us for an hour."),
    ("food", "anger", "This pasta is disgusting, give me my money back!"),
    ("food", "anger", "How dare they charge that much for stale bread!"),
    ("food", "anger", "The chef is an idiot and the soup was cold."),
    ("food", "gratitude", "Thank you for the lovely dinner!"),
    ("food", "gratitude", "Thanks a lot for the bread recipe."),
    ("food", "gratitude", "I really appreciate that you cooked for us."),
    ("food", "gratitude", "Thank you so much for sharing your cake."),
    ("work", "joy", "I got the job, I am so happy!"),
    ("work", "joy", "Yay, the whole team got a raise!"),
    ("work", "joy", "My first day at the office was great fun, haha."),
    ("work", "joy", "We finished the project early, such a happy day."),
    ("work", "anger", "My boss is an idiot, I am furious."),
    ("work", "anger", "How dare they cut our pay again!"),
    ("work", "anger", "This company is disgusting, they lied to all of us."),
    ("work", "anger", "The manager ignored my report, I hate this office."),
    ("work", "gratitude", "Thank you for helping me with the report."),
    ("work", "gratitude", "Thanks a lot for the kind words at the meeting."),
    ("work", "gratitude", "I really appreciate how you train the new team."),
    ("work", "gratitude", "Thank you so much for giving me this job."),
]
BY_TOPIC = Instruction("comment", objective="clustering by topic")
BY_EMOTION = Instruction("comment", objective="classifying its emotion")


def documentation() -> dict[str, str]:
    """Return the first lines of the documentation of this Python's own modules, by module."""
    first_lines = {}
    for file in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        try:
            text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
        except (SyntaxError, UnicodeDecodeError):
            continue
        if text and not file.stem.startswith("_"):
            first_lines[file.stem] = " ".join(text.split())[:300]
    return first_lines


def retrieve(model: INSTRUCTOR) -> None:
    modules = documentation()
    instruction = Instruction("question", "programming", "retrieving the matching documentation")
    documented = Instruction("documentation", "programming", "retrieval")
    scores = model.similarity(
        model.encode(QUESTIONS, instruction=instruction), model.encode(list(modules.values()), instruction=documented)
    )
    print(f"\nThe documentation of {len(modules)} of Python's modules, searched by meaning:")
    for question, row in zip(QUESTIONS, np.asarray(scores), strict=True):
        best = [list(modules)[index] for index in np.argsort(-row)[:3]]
        print(f"  {question:42} {', '.join(best)}")


def compare(model: INSTRUCTOR) -> dict[str, np.ndarray]:
    """Show how two instructions change the neighbors of a comment and the clusters of all comments."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    texts = [text for _, _, text in COMMENTS]
    topics, emotions = (np.array([comment[column] for comment in COMMENTS]) for column in (0, 1))
    vectors = {str(instruction): model.encode(texts, instruction=instruction) for instruction in (BY_TOPIC, BY_EMOTION)}
    print(f"\nNearest to {texts[SHOWN]!r}")
    for instruction, rows in vectors.items():
        print(f"  {instruction}")
        for index in np.argsort(-(rows @ rows[SHOWN]))[1:4]:
            print(f"    {rows[index] @ rows[SHOWN]:.2f}  {texts[index]}")
    print(f"\n{len(texts)} comments on two topics with three emotions")
    print(f"  {'':52}{'same topic':>12}{'same emotion':>14}{'clusters':>10}")
    for instruction, rows in vectors.items():
        nearest = (rows @ rows.T - 2 * np.eye(len(rows))).argmax(1)
        shares = [np.mean(kinds == kinds[nearest]) for kinds in (topics, emotions)]
        clusters = KMeans(3, n_init=10, random_state=0).fit_predict(rows)
        print(f"  {instruction:52}{shares[0]:12.0%}{shares[1]:14.0%}{adjusted_rand_score(emotions, clusters):10.2f}")
    print("  same: how often the nearest comment has it; clusters: how well three fit the emotions (1: exactly)")
    return vectors


def draw(vectors: dict[str, np.ndarray]) -> None:
    """Draw the comments under each instruction on their first two principal components."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams["font.size"] = 12.5
    figure, panels = pyplot.subplots(1, len(vectors), figsize=(10, 5), constrained_layout=True)
    colors = {"joy": "tab:orange", "anger": "tab:red", "gratitude": "tab:green"}
    shapes = {"food": "o", "work": "^"}
    for panel, (instruction, rows) in zip(panels, vectors.items(), strict=True):
        centered = rows - rows.mean(0)
        points = centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T
        for topic, shape in shapes.items():
            for emotion, color in colors.items():
                some = [n for n, (a, b, _) in enumerate(COMMENTS) if (a, b) == (topic, emotion)]
                panel.scatter(*points[some].T, c=color, marker=shape, s=70, label=f"{topic}, {emotion}")
        panel.set(title=instruction.strip().replace(" for ", "\nfor "), xticks=[], yticks=[])
    panels[-1].legend(loc="best", frameon=False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=120)
    print(f"\nThe same comments under both instructions, drawn: {PICTURE}")


def measure(model: INSTRUCTOR) -> None:
    texts = [f"{text} {number}" for number in range(100) for _, _, text in COMMENTS]
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
    draw(compare(model))
    measure(model)
    print("\nType your own texts and instructions: instructor-embed serve, then open http://127.0.0.1:8080")


if __name__ == "__main__":
    main()
