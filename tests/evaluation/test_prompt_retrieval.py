"""Prompt Retrieval: which examples are shown, and what language models, here and on a server, make of them."""

import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from instructor_embedding import InputError, LanguageModelError, Pair
from instructor_embedding.evaluation import prompt_retrieval
from instructor_embedding.evaluation.instructions import published
from instructor_embedding.evaluation.prompt_retrieval import selection, tasks
from instructor_embedding.evaluation.prompt_retrieval.language_models import CausalModel, CompletionServer, cut
from instructor_embedding.evaluation.score import Results
from tests.conftest import SHARED
from tests.evaluation.conftest import WORDS, write_rows

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("prompts")
    for split, count in (("train", 120), ("test", 20)):
        rows = [{"text": f"{WORDS[n % 5]} {WORDS[n % 5]} {WORDS[n % 7]}", "label": n % 5} for n in range(count)]
        write_rows(home / "sst5" / f"{split}.jsonl.gz", rows)
    rows = [{"question": f"{WORDS[n % 7]} where", "query": f"SELECT {WORDS[n % 7]} FROM sky"} for n in range(30)]
    for name in ("train", "eval"):
        (home / f"geoquery_{name}.json").write_text(json.dumps(rows[:20] if name == "train" else rows[20:]))
    return home


@pytest.fixture(scope="module")
def language_model(tmp_path_factory):
    """A causal model with random weights, of two layers, and a tokenizer of bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    home = tmp_path_factory.mktemp("language_model")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(home)
    torch.manual_seed(0)
    shape = {"vocab_size": 256, "n_positions": 700, "n_embd": 32, "n_layer": 2, "n_head": 2}
    ends = {"bos_token_id": None, "eos_token_id": None}
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape, **ends)).save_pretrained(home)
    return CausalModel(str(home))


@pytest.fixture
def server(language_model):
    """A completion server on loopback that answers with the same model."""
    tokenizer, model = language_model._tokenizer, language_model._model

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            text = question["prompt"]
            if question.get("echo"):
                ids = tokenizer(text, return_tensors="pt")["input_ids"]
                with torch.inference_mode():
                    likelihoods = model(ids).logits[0, :-1].float().log_softmax(-1)
                values = [None, *likelihoods.gather(1, ids[0, 1:, None])[:, 0].tolist()]
                offsets = np.cumsum([0] + [len(tokenizer.decode([id_])) for id_ in ids[0].tolist()]).tolist()
                choice = {"text": text, "logprobs": {"token_logprobs": values, "text_offset": offsets[:-1]}}
            else:
                choice = {"text": language_model.write(text, question["max_tokens"], ())}
            body = json.dumps({"choices": [choice]}).encode()
            status = 200 if question["model"] == "tiny" else 404
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}/v1"
    running.shutdown()
    running.server_close()


def test_selection_by_hand(folder, recording):
    """Centered vectors, cosines, from the most similar on, until the budget ends it; the most similar last."""
    task = tasks.task_named("sst5")
    pool, tests, _ = tasks.draw(task, folder, 0)
    vectors = [recording.encode([Pair("", example.text) for example in side]) for side in (pool, tests)]
    shown = selection.retrieve(task, pool, tests, *vectors, None, 60)
    moved = [side - side.mean(0) for side in vectors]
    for item, chosen in enumerate(shown[:5]):
        cosines = [
            float(row @ moved[1][item] / max(np.linalg.norm(row) * np.linalg.norm(moved[1][item]), 1e-12))
            for row in moved[0]
        ]
        budget, expected = 60 - math.ceil(len(tests[item].prompt) / 4), []
        for index in sorted(range(len(pool)), key=lambda index: -round(cosines[index], 5)):
            if cosines[index] > 0.9999:
                continue
            budget -= math.ceil(len(task.render(pool[index], True)) / 4)
            if budget < 0:
                break
            expected.append(cosines[index])
        assert [round(cosines[index], 4) for index in chosen] == [round(value, 4) for value in expected[::-1]]


def test_without_a_language_model(folder, recording, tmp_path):
    results = Results(tmp_path / "scores.jsonl")
    score = prompt_retrieval.evaluate(recording, "sst5", folder, results=results)
    assert score.metric == "nearest_agrees"
    assert score.n == 20
    assert 0 <= score.value <= 100
    assert {pair.instruction for pair in recording.seen} == {str(published("sst5"))}
    seen = len(recording.seen)
    assert prompt_retrieval.evaluate(recording, "sst5", folder, results=Results(tmp_path / "scores.jsonl")) == score
    assert len(recording.seen) == seen


def test_here_and_on_a_server_are_equal(folder, recording, language_model, server, tmp_path):
    there = CompletionServer(server, "tiny", context=700, tokenizer=f"{language_model.name}/tokenizer.json")
    for prompt in ("Sentence: sun\nFeeling:", "sky"):
        options = ["\npositive", "\nvery negative", "\nneutral"]
        assert there.choose(prompt, options) == language_model.choose(prompt, options)
        assert there.write(prompt, 8, ["q"]) == language_model.write(prompt, 8, ["q"])
    score = prompt_retrieval.evaluate(recording, "sst5", folder, language_model, items=3, output_dir=tmp_path)
    assert (score.metric, score.n) == ("rouge_l", 3)
    assert set(score.config["metrics"]) >= {"rouge_l", "accuracy", "nearest_agrees", "shown_agree"}
    (file,) = (tmp_path / "prompt_retrieval").iterdir()
    assert len(file.read_text().splitlines()) == 3
    written = prompt_retrieval.evaluate(recording, "geoquery", folder, there, items=2)
    assert written.n == 2


def test_a_prompt_longer_than_the_context_loses_its_beginning(language_model):
    options = ["\npositive", "\nvery negative indeed"]
    left = language_model.context - len(options[1])
    end = ("sky and sea " * 80)[-left:]
    assert language_model.choose("far " * 500 + end, options) == language_model.choose(end, options)
    assert len(language_model.write("far " * 500, 8, ())) <= 8 * 4
    with pytest.raises(InputError, match="reads 700 tokens, too few for an answer of 700"):
        language_model.write("far", 700, ())


def test_answers_are_kept_over_an_interruption(folder, recording, language_model, tmp_path):
    class Stops:
        name, context, asked = language_model.name, language_model.context, 0
        count, write = language_model.count, language_model.write

        def choose(self, prompt, options):
            self.asked += 1
            if self.asked == 3:
                raise KeyboardInterrupt
            return language_model.choose(prompt, options)

    with pytest.raises(KeyboardInterrupt):
        prompt_retrieval.evaluate(recording, "sst5", folder, Stops(), items=5, output_dir=tmp_path)
    again = Stops()
    again.asked = -100
    score = prompt_retrieval.evaluate(recording, "sst5", folder, again, items=5, output_dir=tmp_path)
    assert again.asked == -97
    assert score.value == prompt_retrieval.evaluate(recording, "sst5", folder, language_model, items=5).value


def test_errors(folder, server, recording):
    with pytest.raises(InputError, match="task='sst' is unknown; did you mean 'sst5'"):
        prompt_retrieval.evaluate(recording, "sst", folder)
    with pytest.raises(InputError, match=r"rte needs rte/train\.jsonl"):
        prompt_retrieval.evaluate(recording, "rte", folder)
    with pytest.raises(LanguageModelError, match="refused with 404"):
        CompletionServer(server, "other").write("a", 3, ())
    with pytest.raises(InputError, match="must start with http"):
        CompletionServer("localhost", "tiny")
    assert cut("SELECT a; b", (";", "--")) == "SELECT a"


@pytest.mark.skipif(not (SHARED / "data" / "prompt_retrieval").is_dir(), reason="the shared data is not here")
def test_the_real_files(recording):
    home = SHARED / "data" / "prompt_retrieval"
    names = tasks.names_in(home)
    assert {"sst5", "rte", "mrpc", "dbpedia_14", "geoquery", "multirc_answerability"} <= set(names)
    for name in names:
        pool, tests, digest = tasks.draw(tasks.task_named(name), home, 0)
        assert len(tests) <= tasks.ITEMS
        assert len(pool) <= tasks.POOL
        assert digest == tasks.draw(tasks.task_named(name), home, 0)[2]
