"""What stands in for a loop, a call and a tool where nothing is recorded: it does nothing, at next to no cost."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import Self

from otel_phi.front.calls import ModelCall
from otel_phi.front.loops import Loop
from otel_phi.front.tools import Tool


class _OffTool(Tool):
    __slots__ = ()

    def __init__(self) -> None:
        self.ended = True
        self.name = self.call_id = ""
        self.outer = None

    def result(self, _: Any) -> None:
        pass

    def fail(self, *_: Any, **__: Any) -> None:
        pass

    def start_loop(self, *_: Any, **__: Any) -> Loop:
        return OFF_LOOP

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        return False


class _OffCall(ModelCall):
    __slots__ = ()

    def __init__(self) -> None:
        self.ended = True
        self.beside = False
        self.began_ns = 0
        self.model = self.provider = ""

    def response(self, _: Any) -> None:
        pass

    def usage(self, **_: Any) -> None:
        pass

    def fail(self, *_: Any, **__: Any) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        return False


class _OffLoop(Loop):
    __slots__ = ()

    def __init__(self) -> None:
        self.ended = True
        self._begun = False
        self.keeps_content = False
        self.session = self.id = self.model = self.provider = ""
        self.agent = self.outer = None

    def model_call(self, *_: Any, **__: Any) -> ModelCall:
        return OFF_CALL

    def tool(self, *_: Any, **__: Any) -> Tool:
        return OFF_TOOL

    def fail(self, *_: Any, **__: Any) -> None:
        pass

    def start_loop(self, *_: Any, **__: Any) -> Loop:
        return self

    def started_from(self, *_: Any, **__: Any) -> Loop:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        return False


OFF_LOOP = _OffLoop()
OFF_CALL = _OffCall()
OFF_TOOL = _OffTool()
OFF_CALL.loop = OFF_TOOL.loop = OFF_LOOP
