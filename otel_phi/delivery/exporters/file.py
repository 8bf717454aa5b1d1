"""A file of OTLP-JSON lines: written beside its name, renamed when whole, so that nobody reads half an export."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import IO

from otel_phi.delivery.exporters.exporter import Accepted, ExportResult, Misconfigured, Refused
from otel_phi.delivery.otlp.otlp_json import json_line
from otel_phi.errors import ConfigError, DeliveryError

STDOUT = "-"


class FileExporter:
    """Writes each request as one line.

    Args:
        path: the file, or `-` for standard output. What is no regular file (a pipe, a device) is written directly.

    Raises:
        ConfigError: the file cannot be made.
    """

    max_in_flight = 1  # lines come in the order of the batches

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._part: Path | None = None
        self._written = 0
        if path == STDOUT:
            self._file: IO[bytes] = sys.stdout.buffer
            return
        special = self._path.exists() and not self._path.is_file() and not self._path.is_dir()
        target = self._path
        if not special:
            # The process id keeps two exports to one name apart; the later rename wins, whole.
            self._part = target = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        try:
            if self._path.is_dir():
                raise IsADirectoryError(None, "it is a folder")
            self._file = target.open("wb", buffering=0)
        except OSError as error:
            raise ConfigError(f"file {path} cannot be written: {_reason(error)}") from None

    def send(self, body: bytes, timeout_s: float) -> ExportResult:  # noqa: ARG002  # a disk knows no deadline
        """Writes one line, whole or not at all."""
        try:
            line = json_line(body)
        except ValueError as error:
            return Refused(str(error))
        try:
            self._write(line)
        except OSError as error:
            self._cut_back()
            return Misconfigured(f"{self._path} cannot be written: {_reason(error)}")
        self._written += len(line)
        return Accepted()

    def close(self, *, whole: bool = True) -> None:
        """Gives the file its name if it is whole, removes it if not. Repeatable.

        Raises:
            DeliveryError: the file cannot be renamed.
        """
        if self._file is sys.stdout.buffer:
            return
        self._file.close()
        part, self._part = self._part, None
        if part is None:
            return
        try:
            if whole:
                part.replace(self._path)
            else:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise DeliveryError(f"{part} cannot be renamed to {self._path.name}: {_reason(error)}") from None

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._file.flush()

    def _cut_back(self) -> None:
        """Removes the beginning of a line that found no room."""
        if self._part is not None:
            with contextlib.suppress(OSError):
                self._file.truncate(self._written)
                self._file.seek(self._written)


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
