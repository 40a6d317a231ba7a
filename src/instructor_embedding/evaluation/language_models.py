"""Language models that answer prompts: any causal model of transformers, any server of OpenAI's completions."""

from __future__ import annotations

import copy
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from instructor_embedding.errors import InputError, LanguageModelError
from instructor_embedding.extras import need

_TRIES = 5


class LanguageModel(Protocol):
    """What Prompt Retrieval asks of a language model.

    Attributes
    ----------
    name : str
    context : int or None
        Tokens it can read and write together.
    """

    name: str
    context: int | None

    def count(self, text: str) -> int:
        """Return the tokens of a text."""

    def choose(self, prompt: str, options: Sequence[str]) -> int:
        """Return which option is the likeliest after the prompt, by the mean log likelihood of its tokens."""

    def write(self, prompt: str, limit: int, stop: Sequence[str]) -> str:
        """Return what follows the prompt, greedily, at most `limit` tokens and not past a string of `stop`."""


class CausalModel:
    """A causal model of transformers, run here.

    A prompt that does not fit into its context beside the answer loses its beginning.

    Parameters
    ----------
    name : str
        Hub id or folder.
    device, dtype : str
        Where and how it runs.

    Raises
    ------
    InputError
        It cannot be loaded.
    MissingExtraError
        transformers is not installed.
    """

    def __init__(self, name: str, device: str = "cpu", dtype: str = "float32") -> None:
        library: Any = need("transformers", "running a language model")
        self.name = name
        try:
            self._tokenizer = library.AutoTokenizer.from_pretrained(name)
            self._model = library.AutoModelForCausalLM.from_pretrained(name, dtype=dtype).to(device).eval()
        except (OSError, ValueError) as error:
            raise InputError(f"cannot load the language model {name!r}: {str(error).splitlines()[0]}") from None
        self.context: int | None = getattr(self._model.config, "max_position_embeddings", None)

    def count(self, text: str) -> int:
        """Return the tokens of a text."""
        return len(self._tokenizer(text)["input_ids"])

    def choose(self, prompt: str, options: Sequence[str]) -> int:
        """Return which option is the likeliest; the prompt is read once for all of them."""
        torch: Any = need("torch", "running a language model")
        with torch.inference_mode():
            answers = [self._ids(option) for option in options]
            longest = max(ids.shape[1] for ids in answers)
            read = self._model(self._fitting(prompt, longest), use_cache=True)
            means = []
            for ids in answers:
                more = self._model(ids, past_key_values=copy.deepcopy(read.past_key_values)).logits
                logits = torch.cat([read.logits[:, -1:], more[:, :-1]], 1).float()
                chosen = logits.log_softmax(-1).gather(-1, ids[..., None])
                means.append(float(chosen.mean()))
        return int(np.argmax(means))

    def write(self, prompt: str, limit: int, stop: Sequence[str]) -> str:
        """Return what follows the prompt."""
        torch: Any = need("torch", "running a language model")
        ids = self._fitting(prompt, limit)
        padding = self._tokenizer.pad_token_id if self._tokenizer.pad_token_id is not None else 0
        with torch.inference_mode():
            found = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=limit,
                pad_token_id=padding,
            )
        return cut(self._tokenizer.decode(found[0, ids.shape[1] :], skip_special_tokens=True), stop)

    def _fitting(self, prompt: str, room: int) -> Any:
        """Return the last ids of a prompt that leave room for so many tokens."""
        ids = self._ids(prompt)
        if self.context is None:
            return ids
        if self.context <= room:
            raise InputError(f"{self.name} reads {self.context} tokens, too few for an answer of {room}")
        return ids[:, -(self.context - room) :]

    def _ids(self, text: str) -> Any:
        ids = self._tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        return ids.to(self._model.device)


class CompletionServer:
    """A server that speaks OpenAI's completions, ``POST .../v1/completions``.

    To choose among options it must return the log likelihoods of the prompt (``echo`` with ``logprobs``), as vLLM and
    others do. Where it does not say how it counts, a token is taken to be four bytes of UTF-8.

    Parameters
    ----------
    address : str
        Up to and with ``/v1``.
    model : str
        The model's name on the server.
    key : str, optional
        Sent as bearer token.
    tokenizer : str, optional
        A tokenizer.json file to count with.
    context : int, optional
        Tokens the model can read and write together.
    timeout : float
        Seconds an answer may take.
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        key: str | None = None,
        tokenizer: str | None = None,
        context: int | None = None,
        timeout: float = 120,
    ) -> None:
        if not address.startswith(("http://", "https://")):
            raise InputError(f"the server's address must start with http:// or https://, got {address!r}")
        self.name = model
        self.context = context
        self._address = address.rstrip("/") + "/completions"
        self._key = key
        self._timeout = timeout
        self._tokenizer = _tokenizer(tokenizer) if tokenizer else None

    def count(self, text: str) -> int:
        """Return the tokens of a text."""
        if self._tokenizer is not None:
            return len(self._tokenizer.encode(text).ids)
        return -(-len(text.encode("utf-8", "surrogatepass")) // 4)

    def choose(self, prompt: str, options: Sequence[str]) -> int:
        """Return which option is the likeliest; one request for each."""
        return int(np.argmax([self._mean_likelihood(prompt, option) for option in options]))

    def write(self, prompt: str, limit: int, stop: Sequence[str]) -> str:
        """Return what follows the prompt."""
        answer = self._ask({"prompt": prompt, "max_tokens": limit, "temperature": 0, "stop": list(stop) or None})
        return cut(_field(answer, "text"), stop)

    def _mean_likelihood(self, prompt: str, option: str) -> float:
        text = prompt + option
        answer = self._ask({"prompt": text, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1})
        told = answer.get("logprobs") or {}
        values, offsets = told.get("token_logprobs"), told.get("text_offset")
        if not values or not offsets or len(offsets) < 2:
            raise LanguageModelError(
                f"{self._address} returns no likelihoods of the prompt (echo with logprobs), which this task needs; "
                "use a server that does, such as vLLM, or a model run here"
            )
        inside = [
            value for value, start in zip(values, offsets, strict=True) if len(prompt) <= start < len(text) and value
        ]
        if not inside:
            raise LanguageModelError(f"{self._address} returns no likelihood for {option!r} after the prompt")
        return float(np.mean(inside))

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        body = {name: value for name, value in question.items() if value is not None} | {"model": self.name}
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        request = urllib.request.Request(self._address, json.dumps(body).encode(), headers)
        for attempt in range(_TRIES):
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                    choice: dict[str, Any] = json.load(answer)["choices"][0]
                    return choice
            except urllib.error.HTTPError as error:
                if error.code not in (429, 500, 502, 503, 504) or attempt == _TRIES - 1:
                    told = error.read(300).decode("utf-8", "replace")
                    raise LanguageModelError(f"{self._address} refused with {error.code}: {told}") from None
            except (urllib.error.URLError, OSError) as error:
                if attempt == _TRIES - 1:
                    raise LanguageModelError(f"{self._address} cannot be reached: {error}") from None
            except (ValueError, LookupError, TypeError):
                raise LanguageModelError(f"{self._address} does not answer as a completion server") from None
            time.sleep(0.5 * 2**attempt)
        raise AssertionError("the last try returns or raises")


def cut(text: str, stop: Sequence[str]) -> str:
    """Return a text up to the first of some strings."""
    ends = [place for place in (text.find(end) for end in stop) if place >= 0]
    return text[: min(ends)] if ends else text


def _field(answer: dict[str, Any], name: str) -> str:
    if not isinstance(answer.get(name), str):
        raise LanguageModelError(f"the server's answer has no {name!r}")
    return str(answer[name])


def _tokenizer(path: str) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(path)
    except Exception as error:  # the library raises bare Exception
        raise InputError(f"cannot read the tokenizer {path}: {error}") from None
