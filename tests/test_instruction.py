import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructor_embedding import Encoder, InputError, Instruction, as_pairs
from instructor_embedding.instruction import ENDINGS

WORD = st.from_regex(r"[A-Za-z0-9-]{1,8}", fullmatch=True).filter(
    lambda word: word.lower() not in ("for", "the", "represent")
)
PHRASE = st.lists(WORD, max_size=3).map(" ".join)


@given(WORD, PHRASE, PHRASE, st.sampled_from(ENDINGS))
def test_parse_gives_back_what_was_built(text_type, domain, objective, ending):
    built = Instruction(text_type, domain, objective, ending)
    parsed = Instruction.parse(str(built))
    assert str(parsed) == str(built)
    assert parsed == built


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("Represent the Science title:", ("title", "Science", "", ":")),
        ("Represent the sentence: ", ("sentence", "", "", ": ")),
        (
            "Represent the Wikipedia question for retrieving supporting documents: ",
            ("question", "Wikipedia", "retrieving supporting documents", ": "),
        ),
        ("Represent the Medicine sentence for retrieving a duplicate sentence:", None),
        ("represent the news comment for clustering; ", ("comment", "news", "clustering", "; ")),
        ("Represent the civil comment for toxicity; Input: ", ("comment", "civil", "toxicity", "; Input: ")),
        ("Represent the sentence", ("sentence", "", "", "")),
        ("Represent the Amazon product review, ", ("review", "Amazon product", "", ", ")),
    ],
)
def test_parse(text, fields):
    parsed = Instruction.parse(text)
    if fields:
        assert (parsed.text_type, parsed.domain, parsed.objective, parsed.ending) == fields
    assert str(parsed).lower() == text.lower()


@pytest.mark.parametrize("text", ["", "Relate:", "Represent:", "Represent the :", "Summarize the text:", "the text: "])
def test_parse_refuses(text):
    with pytest.raises(InputError, match="does not follow the template"):
        Instruction.parse(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text_type": ""}, "text_type is required"),
        ({"text_type": None}, "text_type must be a string, got NoneType"),
        ({"text_type": "a\nb"}, "line breaks"),
        ({"text_type": " question"}, "blanks at an end"),
        ({"text_type": "question", "domain": 5}, "domain must be a string"),
        ({"text_type": "question", "objective": "for retrieval"}, "without 'for': objective='retrieval'"),
        ({"text_type": "question", "domain": "the Science"}, "repeats a word of the template"),
        ({"text_type": "Represent the title"}, "repeats a word of the template"),
        ({"text_type": "question", "ending": "!"}, "ending='!' is none of ': ', ':'"),
    ],
)
def test_refused_fields(fields, message):
    with pytest.raises(InputError, match=message):
        Instruction(**fields)


def test_instructions_are_taken_wherever_strings_are(folders):
    built = Instruction("title", "Science")
    model = Encoder(folders["relu"])
    expected = model.encode([["Represent the Science title: ", "rye bread"]])
    for given_form in ([[built, "rye bread"]], [{"instruction": built, "text": "rye bread"}]):
        assert (model.encode(given_form) == expected).all()
    assert (model.encode(["rye bread"], instruction=built) == expected).all()
    assert as_pairs("x", built)[0].instruction == str(built)
    assert model.count_tokens(["rye bread"], built)[0] == model.count_tokens([[str(built), "rye bread"]])[0]
