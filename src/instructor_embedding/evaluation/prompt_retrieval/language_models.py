"""Language models that answer prompts: any causal model of transformers, any server with OpenAI's completions API."""

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
    """What Prompt Retrieval requires of a language model.

    Attributes
    ----------
    name : str
    context : int or None
        Context length: tokens of prompt and answer together.
    """

    name: str
    context: int | None

    def count(self, text: str) -> int:
        """Return the tokens of a text."""

    def choose(self, prompt: str, options: Sequence[str]) -> int:
        """Return the index of the option with the highest mean log likelihood per token after the prompt."""

    def write(self, prompt: str, limit: int, stop: Sequence[str]) -> str:
        """Return a greedy continuation of the prompt, at most `limit` tokens, ended by any string of `stop`."""


class CausalModel:
    """A causal model of transformers, run in this process.

    A prompt that exceeds its context together with the answer is truncated from the left.

    Parameters
    ----------
    name : str
        Hub id or folder.
    device, dtype : str
        As for transformers.

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
        """Return the index of the likeliest option; the prompt is processed once for all of them."""
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
        """Return the continuation of the prompt."""
        torch: Any = need("torch", "running a language model")
        ids = self._fitting(prompt, limit)
        padding = self._tokenizer.pad_token_id if self._tokenizer.pad_token_id is not None else 0
        with torch.inference_mode():
            generated = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=limit,
                pad_token_id=padding,
            )
        return cut(self._tokenizer.decode(generated[0, ids.shape[1] :], skip_special_tokens=True), stop)

    def _fitting(self, prompt: str, reserved: int) -> Any:
        """Return the last ids of a prompt that fit into the context beside the reserved tokens."""
        ids = self._ids(prompt)
        if self.context is None:
            return ids
        if self.context <= reserved:
            raise InputError(f"{self.name} reads {self.context} tokens, too few for an answer of {reserved}")
        return ids[:, -(self.context - reserved) :]

    def _ids(self, text: str) -> Any:
        ids = self._tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        return ids.to(self._model.device)


class CompletionServer:
    """A server with OpenAI's completions API, ``POST .../v1/completions``.

    To choose among options it must return the log likelihoods of the prompt (``echo`` with ``logprobs``), as vLLM and
    others do. Without a tokenizer, four bytes of UTF-8 count as a token.

    Parameters
    ----------
    address : str
        Up to and including ``/v1``.
    model : str
        The model's name on the server.
    key : str, optional
        Sent as bearer token.
    tokenizer : str, optional
        A tokenizer.json file that counts.
    context : int, optional
        Context length of the model.
    timeout : float
        Seconds to wait for an answer.
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
        """Return the index of the likeliest option; one request per option."""
        return int(np.argmax([self._mean_likelihood(prompt, option) for option in options]))

    def write(self, prompt: str, limit: int, stop: Sequence[str]) -> str:
        """Return the continuation of the prompt."""
        answer = self._ask({"prompt": prompt, "max_tokens": limit, "temperature": 0, "stop": list(stop) or None})
        return cut(_field(answer, "text"), stop)

    def _mean_likelihood(self, prompt: str, option: str) -> float:
        text = prompt + option
        answer = self._ask({"prompt": text, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1})
        likelihoods = answer.get("logprobs") or {}
        values, offsets = likelihoods.get("token_logprobs"), likelihoods.get("text_offset")
        if not values or not offsets or len(offsets) < 2:
            raise LanguageModelError(
                f"{self._address} returns no likelihoods of the prompt (echo with logprobs), which this task needs; "
                "use a server that does, such as vLLM, or a local model"
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
                    reason = error.read(300).decode("utf-8", "replace")
                    raise LanguageModelError(f"{self._address} refused with {error.code}: {reason}") from None
            except (urllib.error.URLError, OSError) as error:
                if attempt == _TRIES - 1:
                    raise LanguageModelError(f"{self._address} cannot be reached: {error}") from None
            except (ValueError, LookupError, TypeError):
                raise LanguageModelError(f"{self._address} does not answer as a completion server") from None
            time.sleep(0.5 * 2**attempt)
        raise AssertionError("the last try returns or raises")


def cut(text: str, stop: Sequence[str]) -> str:
    """Return a text up to the first occurrence of any of some strings."""
    ends = [position for position in (text.find(end) for end in stop) if position >= 0]
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
