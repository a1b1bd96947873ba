"""An error as it travels in an answer, and as ``--json`` prints it: code, name and sentence."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from dkrepl import errors
from dkrepl.errors import DkreplError


class Failure(msgspec.Struct, frozen=True):
    """Why a request was not carried out."""

    code: Annotated[int, Meta(description="The exit code of `dkrepl` for this error.")]
    name: Annotated[str, Meta(description="The name of the error; scripts can rely on it.")]
    message: Annotated[str, Meta(description="One sentence: what happened, to what, what to do.")]

    @classmethod
    def of(cls, error: DkreplError) -> Failure:
        """Return the error as it is sent."""
        return cls(error.exit_code, error.name, str(error))

    def as_error(self) -> DkreplError:
        """Return it as the error of the same name, its sentence unchanged; one of a newer daemon as `DkreplError`."""
        for kind in errors.kinds():
            if kind.__name__ == self.name:
                return kind(self.message)
        return DkreplError(self.message)
