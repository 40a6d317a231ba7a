"""What ``INSTRUCTOR.encode`` returns, as overloads that its siblings `encode_query` and `encode_document` share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, overload

from instructor_embedding.engine.options import Options, Single, StatesOptions
from instructor_embedding.model.packed import Float32

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Unpack


class EncodeCall(Protocol):
    """A bound ``encode``: the type of its result follows from `output_value` and the conversions."""

    @overload
    def __call__(
        self, sentences: Any, batch_size: int = ..., *, convert_to_tensor: Literal[True], convert_to_numpy: bool = ...,
        output_value: Literal["sentence_embedding"] = ..., **options: Unpack[Options],
    ) -> Tensor: ...  # fmt: skip
    @overload
    def __call__(
        self, sentences: Any, batch_size: int = ..., *, convert_to_tensor: Literal[False] = ...,
        convert_to_numpy: Literal[True] = ..., output_value: Literal["sentence_embedding"] = ...,
        **options: Unpack[Options],
    ) -> Float32: ...  # fmt: skip
    @overload
    def __call__(  # a str is an Iterable too: the first that fits counts
        self, sentences: Single, batch_size: int = ..., *, convert_to_numpy: Literal[False],
        convert_to_tensor: Literal[False] = ..., output_value: Literal["sentence_embedding"] = ...,
        **options: Unpack[Options],
    ) -> Tensor: ...  # fmt: skip
    @overload
    def __call__(
        self, sentences: Iterable[Any], batch_size: int = ..., *, convert_to_numpy: Literal[False],
        convert_to_tensor: Literal[False] = ..., output_value: Literal["sentence_embedding"] = ...,
        **options: Unpack[Options],
    ) -> list[Tensor]: ...  # fmt: skip
    @overload
    def __call__(
        self, sentences: Single, *, output_value: Literal["token_embeddings"], **options: Unpack[StatesOptions]
    ) -> Tensor: ...
    @overload
    def __call__(
        self, sentences: Iterable[Any], *, output_value: Literal["token_embeddings"], **options: Unpack[StatesOptions]
    ) -> list[Tensor]: ...
    @overload
    def __call__(
        self, sentences: Single, *, output_value: None, **options: Unpack[StatesOptions]
    ) -> dict[str, Tensor]: ...
    @overload
    def __call__(
        self, sentences: Iterable[Any], *, output_value: None, **options: Unpack[StatesOptions]
    ) -> list[dict[str, Tensor]]: ...


class EncodeMethod(Protocol):
    """A method that type checkers read as `EncodeCall`."""

    def __get__(self, instance: object, owner: type | None = None) -> EncodeCall:
        """Return the bound method."""


def encode_method(function: Callable[..., Any]) -> EncodeMethod:
    """Decorate a method so that type checkers see the overloads of `EncodeCall`; at run time it stays what it is."""
    return cast(EncodeMethod, function)
