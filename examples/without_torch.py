"""An exported model without torch: tokenizers, numpy and ONNX Runtime or OpenVINO are enough.

`instructor-embed export onnx MODEL FOLDER`, or `export openvino`, then `python examples/without_torch.py FOLDER`.
"""

import json
import sys
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer


class Exported:
    """A folder that `instructor-embed export` wrote."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        limits = json.loads((folder / "sentence_bert_config.json").read_text(encoding="utf-8"))
        self.longest, self.lower = limits["max_seq_length"], limits["do_lower_case"]
        if (folder / "model.onnx").exists():
            import onnxruntime

            session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
            self.run = lambda inputs: session.run(None, inputs)[0]
        else:
            import openvino

            # float32 throughout; leave the hint out for bfloat16 where the CPU has it
            graph = openvino.Core().compile_model(
                folder / "openvino_model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
            )
            self.run = lambda inputs: np.array(graph(inputs)[0])

    def ids(self, text: str) -> list[int]:
        """Return token ids; a long text is truncated to its beginning and the EOS token."""
        text = text.strip().lower() if self.lower else text.strip()
        ids = self.tokenizer.encode(text).ids
        return ids if len(ids) <= self.longest else ids[: self.longest - 1] + ids[-1:]

    def encode(self, pairs: list[tuple[str, str]]) -> np.ndarray:
        """Return float32 of shape (n, dim) for pairs of instruction and text."""
        rows = [self.ids(instruction + text.strip()) for instruction, text in pairs]
        pieces = [len(self.ids(instruction)) - 1 for instruction, _ in pairs]
        mask = np.arange(max(map(len, rows))) < np.array([len(row) for row in rows])[:, None]
        ids = np.zeros(mask.shape, np.int64)
        ids[mask] = np.concatenate(rows)
        context = np.array([0 if count <= 1 else count for count in pieces], np.int64)
        return self.run({"input_ids": ids, "attention_mask": mask.astype(np.int64), "context_masks": context})


if __name__ == "__main__":
    model = Exported(Path(sys.argv[1]))
    question = [("Represent the question for retrieving documents: ", "which bird lays the largest eggs?")]
    documents = [
        ("Represent the document for retrieval: ", "The common ostrich lays the largest eggs of any living bird."),
        ("Represent the document for retrieval: ", "Mixed economies have some public ownership."),
    ]
    print(model.encode(question) @ model.encode(documents).T)
    assert "torch" not in sys.modules
