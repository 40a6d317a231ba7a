"""`encode_query`, `encode_document` and the arguments that callers of sentence-transformers pass."""

import numpy as np
import pytest
import torch

from instructor_embedding import INSTRUCTOR, Encoder, InputError, Pair
from instructor_embedding.engine import native_library
from instructor_embedding.instruction import DOCUMENTS, QUERIES

TEXTS = ["rye bread", "the price of copper"]
OWN = [["Represent the title: ", "zinc"], "rye bread"]
REFUSED = {
    "two instructions": ({"prompt": "a", "instruction": "b"}, "instruction='b' and prompt='a' were given; pass one"),
    "a name that is not known": ({"prompt_name": "qurey"}, "did you mean 'query'.*known: query, document"),
    "codes": ({"precision": "int8"}, r"VectorQuantizer.fit.*INSTRUCTOR\(..., precision='int8'\)"),
    "a pool": ({"pool": {}}, "instructor_embedding.Workers"),
    "too many dimensions": ({"truncate_dim": 49}, "from 1 to 48, the model's dimension, got 49"),
    "dimensions that are not an integer": ({"truncate_dim": 2.0}, "got 2.0"),
}


@pytest.fixture(params=["INSTRUCTOR", "Encoder"])
def encoder(request, folders, models):
    if request.param == "INSTRUCTOR":
        return models["relu"]
    if not native_library.kernels():
        pytest.skip("the compiled engine is not here")
    return Encoder(folders["relu"])


def test_sides_have_their_instructions(encoder):
    for call, name, instruction in (
        (encoder.encode_query, "query", QUERIES),
        (encoder.encode_document, "document", DOCUMENTS),
    ):
        expected = encoder.encode(TEXTS, instruction=instruction)
        np.testing.assert_array_equal(call(TEXTS), expected)
        np.testing.assert_array_equal(call(TEXTS[0]), expected[0])
        np.testing.assert_array_equal(encoder.encode(TEXTS, prompt_name=name), expected)
        np.testing.assert_array_equal(encoder.encode(TEXTS, prompt=instruction), expected)
    pairs = [Pair("Represent the title: ", "zinc"), Pair(QUERIES, "rye bread")]
    np.testing.assert_array_equal(encoder.encode_query(OWN), encoder.encode(pairs))
    expected = encoder.encode(TEXTS, instruction="Represent it: ")
    np.testing.assert_array_equal(encoder.encode_query(TEXTS, prompt="Represent it: "), expected)
    np.testing.assert_array_equal(encoder.encode_query(TEXTS, 8, instruction="Represent it: "), expected)


def test_neutral_arguments_change_nothing(encoder):
    neutral = {"prompt": None, "prompt_name": None, "truncate_dim": None, "precision": "float32", "pool": None}
    options = {"show_progress_bar": False, "normalize_embeddings": False, "chunk_size": None}
    np.testing.assert_array_equal(encoder.encode(TEXTS, **neutral, **options), encoder.encode(TEXTS))


def test_the_first_dimensions(encoder):
    vectors = encoder.encode_document(TEXTS)
    short = encoder.encode_document(TEXTS, truncate_dim=5)
    np.testing.assert_array_equal(short, vectors[:, :5])
    unit = encoder.encode_document(TEXTS, truncate_dim=5, normalize_embeddings=True)
    np.testing.assert_allclose(unit, short / np.linalg.norm(short, axis=1)[:, None], atol=1e-6)


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_meaning_is_refused(encoder, name):
    options, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        encoder.encode(TEXTS, **options)
    with pytest.raises(InputError, match=message):
        encoder.encode_query(TEXTS, **options)


def test_misspelled_keywords_name_the_nearest(encoder):
    with pytest.raises(TypeError, match="'promt_name'; did you mean 'prompt_name'"):
        encoder.encode_query(TEXTS, promt_name="query")
    with pytest.raises(TypeError, match="'trunc_dim'; did you mean 'truncate_dim'"):
        encoder.encode(TEXTS, trunc_dim=3)


def test_outputs_of_instructor(models):
    model = models["relu"]
    tensor = model.encode_query(TEXTS, convert_to_tensor=True)
    assert isinstance(tensor, torch.Tensor)
    assert [rows.shape[1] for rows in model.encode_document(TEXTS, output_value="token_embeddings")] == [64, 64]
    with pytest.raises(InputError, match="truncate_dim has no meaning with output_value=None"):
        model.encode(TEXTS, output_value=None, truncate_dim=3)
    assert model.get_embedding_dimension() == model.get_sentence_embedding_dimension() == 48


def test_prompts_of_a_model(folders):
    model = INSTRUCTOR(folders["relu"], device="cpu", prompts={"query": "Find: ", "title": "Represent the title: "})
    np.testing.assert_array_equal(model.encode_query(TEXTS), model.encode(TEXTS, instruction="Find: "))
    titles = model.encode(TEXTS, instruction="Represent the title: ")
    np.testing.assert_array_equal(model.encode(TEXTS, prompt_name="title"), titles)
    model.prompts["query"] = "Represent the title: "
    np.testing.assert_array_equal(model.encode_query(TEXTS), titles)
    del model.prompts["query"]
    with pytest.raises(InputError, match=r"model.prompts has no 'query'; set model.prompts\['query'\]"):
        model.encode_query(TEXTS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trust_remote_code": True}, "no code of a model is executed"),
        ({"truncate_dim": 5}, r"model.encode\(texts, truncate_dim=...\)"),
        ({"similarity_fn_name": "dot"}, "returns cosines"),
        ({"prompts": "Find: "}, "prompts must be a dict"),
        ({"prompts": {"query": 3}}, r"prompts\['query'\] is 3"),
    ],
)
def test_options_of_a_model_are_refused(folders, options, message):
    with pytest.raises(InputError, match=message):
        INSTRUCTOR(folders["relu"], device="cpu", **options)


def test_neutral_options_of_a_model(folders):
    neutral = {"trust_remote_code": False, "truncate_dim": None, "similarity_fn_name": "cosine", "prompts": None}
    assert INSTRUCTOR(folders["relu"], device="cpu", **neutral).prompts == {"query": QUERIES, "document": DOCUMENTS}
