"""Makes the golden vectors by running the original package.

Run in an environment that holds the original and nothing of this project::

    pip install torch==2.13.0 transformers==4.39.3 tokenizers==0.15.2 huggingface-hub==0.25.2 numpy==1.26.4 \
        sentencepiece scikit-learn scipy nltk tqdm pillow
    pip install --no-deps sentence-transformers==2.2.2 InstructorEmbedding==1.0.1

first `python -m tests.golden.make_checkpoints FOLDER` in this project's environment, then
`python tests/golden/make_golden.py FOLDER` in the original's; it writes golden.npz beside this file.
"""

import json
import sys
from pathlib import Path

import numpy as np

from InstructorEmbedding import INSTRUCTOR

HERE = Path(__file__).parent
INPUTS = json.loads((HERE / "inputs.json").read_text(encoding="utf-8"))


def main(folder: Path) -> None:
    arrays = {}
    for path in sorted(folder.iterdir()):
        model = INSTRUCTOR(str(path), device="cpu")
        pairs = [list(pair) for pair in INPUTS["pairs"]]
        rows = model.encode(pairs, output_value="token_embeddings", batch_size=1)
        features = [model.encode([pair], output_value=None)[0] for pair in pairs]
        name = path.name
        arrays[f"{name}/vectors"] = model.encode(pairs)
        arrays[f"{name}/texts"] = model.encode(INPUTS["texts"])
        arrays[f"{name}/ids"] = np.concatenate([row["input_ids"].numpy() for row in features]).astype(np.int32)
        arrays[f"{name}/mask"] = np.concatenate([row["attention_mask"].numpy() for row in features]).astype(np.int8)
        arrays[f"{name}/lengths"] = np.array([len(row["input_ids"]) for row in features], np.int32)
        arrays[f"{name}/context"] = np.array([int(row["context_masks"]) for row in features], np.int32)
        arrays[f"{name}/states"] = np.stack([row.numpy().mean(0) for row in rows])
        model.max_seq_length = 24
        arrays[f"{name}/short"] = model.encode(pairs)
    np.savez_compressed(HERE / "golden.npz", **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
