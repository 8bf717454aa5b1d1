"""The house holds: who imports whom, what loads when, how long a file may be, and that the mapping table is the mapping."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from otel_phi.config import resolve
from otel_phi.events import AgentEvent
from otel_phi.mapping import semconv as s
from otel_phi.mapping.opened import opened_span
from otel_phi.mapping.options import MappingOptions, options_for
from otel_phi.mapping.price_table import Price, PriceSource, PriceTable
from otel_phi.mapping.span import Attributes, Span
from otel_phi.pipeline import spans
from otel_phi.prices import Prices
from otel_phi.recorder.core import RecorderCore
from otel_phi.recorder.notices import GroupOpened, LoopOpened, TurnOpened
from tests import golden
from tests.laws import role
from tests.policy.capture.stories import content_story
from tests.streams import OWN_CASES, SMALL_CASES

PACKAGE = golden.PROJECT / "otel_phi"
FILES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((golden.PROJECT / "tests").rglob("*.py"))

# DESIGN section 2: what each room may import of ours. Edges (files and folders that stand in no row) may import all.
ROOMS = {
    "wire": set[str](),
    "recorder": {"wire"},
    "mapping": {"wire", "recorder"},  # of recorder the notices alone, see below
    "sources": {"wire", "errors"},
    "session": {"wire", "errors"},
    "config": {"errors", "mapping", "delivery", "policy"},  # of each the options alone, see below
    "policy": {"wire"},
    "delivery.otlp": {"mapping", "errors", "version", "late_imports"},
    "delivery.exporters": {
        "late_imports",
        "delivery.otlp",
        "delivery",
        "mapping",
        "config",
        "errors",
        "version",
        "clock",
    },
    "delivery.sending": {
        "late_imports",
        "own_threads",
        "delivery.exporters",
        "delivery.otlp",
        "delivery",
        "mapping",
        "config",
        "errors",
        "clock",
    },
    "front": {"events", "clock"},  # and the hook, which it finds where `install` put it
    "metrics": {
        "recorder",
        "mapping",
        "delivery.exporters",
        "delivery.otlp",
        "delivery.sending",
        "config",
        "clock",
        "late_imports",
        "version",
    },
    "delivery.journal": {"wire", "errors", "version", "clock", "sqlite_use"},
}
PURE = ("wire", "policy", "recorder", "mapping")
IMPURE = {"io", "os", "time", "random", "logging", "threading", "socket", "asyncio", "secrets", "sqlite3", "subprocess"}
MAX_FILE_LINES = 400  # 250 is the aim
MAX_FUNCTION_LINES = 35  # 30 is the aim


def room(path: Path) -> str:
    """Returns the room a file lies in, or the name of an edge."""
    return _room_of(path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", "."))


def _room_of(module: str) -> str:
    parts = module.split(".")[1:]
    return next((name for name in (".".join(parts[:2]), parts[0]) if name in ROOMS), parts[0])


def imports(path: Path, *, run_time: bool = False) -> Iterator[str]:
    """Yields the modules a file imports, `from a import b` as `a.b`; those for type checkers alone left out if asked."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = set(_type_checking(tree)) if run_time else set()
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _type_checking(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from (inner for statement in node.body for inner in ast.walk(statement))


def ours(path: Path) -> set[str]:
    """Returns the rooms and edges of ours that a file imports at run time; a name for the type checker binds nothing."""
    found = (name for name in imports(path, run_time=True) if name.startswith("otel_phi."))
    return {_room_of(name) for name in found} - {room(path)}


def test_the_walk_sees_the_whole_house() -> None:
    assert {room(path) for path in FILES} >= {
        "wire",
        "recorder",
        "mapping",
        "sources",
        "pipeline",
        "events",
        "__init__",
    }
    assert "otel_phi.wire.events.AgentEvent" in set(imports(PACKAGE / "pipeline.py"))


@pytest.mark.parametrize("path", [path for path in FILES if room(path) in ROOMS], ids=lambda path: path.stem)
def test_a_room_imports_only_what_the_table_allows(path: Path) -> None:
    assert ours(path) <= ROOMS[room(path)]


def test_mapping_knows_the_recorders_notices_and_nothing_else_of_it() -> None:
    named = {
        name.rsplit(".", 1)[0]
        for path in FILES
        if room(path) == "mapping"
        for name in imports(path)
        if name.startswith("otel_phi.recorder")
    }
    assert named == {"otel_phi.recorder.identities", "otel_phi.recorder.notices"}


def _named(rooms: Iterable[str], prefix: str) -> set[str]:
    named = {name for path in FILES if room(path) in rooms for name in imports(path, run_time=True)}
    return {name.rsplit(".", 1)[0] for name in named if name.startswith(prefix)}


def test_delivery_knows_mapping_by_its_spans_alone() -> None:
    rooms = [name for name in ROOMS if name.startswith("delivery.")]
    assert _named(rooms, "otel_phi.mapping") <= {
        "otel_phi.mapping.span",
        "otel_phi.mapping",
        "otel_phi.mapping.semconv",
    }


def test_config_knows_the_options_of_other_rooms_alone() -> None:
    assert _named(["config"], "otel_phi.mapping") <= {
        "otel_phi.mapping.options",
        "otel_phi.mapping.price_table",  # an option that is a file
        "otel_phi.mapping.span",  # a type of theirs
    }
    assert _named(["config"], "otel_phi.delivery") == {"otel_phi.delivery.options"}


@pytest.mark.parametrize("path", [path for path in FILES if room(path) in PURE], ids=lambda path: path.stem)
def test_a_pure_room_has_no_io_clock_randomness_environment_thread_or_logging(path: Path) -> None:
    assert {name.split(".")[0] for name in imports(path)} & IMPURE == set()
    called = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called & {"open", "print", "input", "exec", "eval", "hash", "id"} <= {"id"}  # `id` keys a table, see groups


def test_opentelemetry_is_imported_in_delivery_config_and_the_hook_alone() -> None:
    where = {
        room(path).split(".")[0] for path in FILES if any(name.startswith("opentelemetry") for name in imports(path))
    }
    # The receiver in `testing` answers in OpenTelemetry's own messages.
    assert where <= {"delivery", "config", "hook", "metrics", "testing"}


def test_the_environment_is_read_in_config_alone() -> None:
    where = {path.relative_to(PACKAGE).as_posix() for path in FILES if _reads_environment(path)}
    assert where == {"config/config.py"}


def _reads_environment(path: Path) -> bool:
    return any(
        (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"})
        or (isinstance(node, ast.alias) and node.name in {"environ", "getenv"})
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )


def test_threads_live_in_the_hook_the_front_delivery_and_testing_alone() -> None:
    names = {"threading", "_thread", "concurrent", "multiprocessing"}
    where = {room(path) for path in FILES if {name.split(".")[0] for name in imports(path)} & names}
    assert {name.split(".")[0] for name in where} <= {
        "hook",
        "front",
        "delivery",
        "metrics",
        "late_imports",
        "own_threads",
        "sqlite_use",
        "testing",
    }


# --- names ---------------------------------------------------------------------------------------------------------------

# Words that a newcomer would have to learn, where the field has its own (exporter, queue, retry, backoff, journal, segment, mark).
BANNED = (
    *("courier", "shelves", "shelf", "stocks", "spill", "unsaid", "suspect", "suspects", "patience", "pump", "upkeep"),
    *("told", "owed"),
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(golden.PROJECT).as_posix())
def test_names_are_the_field_s(path: Path) -> None:
    words = {word for name in _names(path) for word in re.findall(r"[a-z]+", name.lower())}
    assert words & set(BANNED) == set()
    assert not path.stem.startswith(BANNED)


def _names(path: Path) -> Iterator[str]:
    """Yields what a file gives names to: modules, classes, functions, arguments, variables, attributes."""
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.Name():
                yield node.id
            case ast.Attribute():
                yield node.attr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(golden.PROJECT).as_posix())
def test_a_docstring_has_a_subject(path: Path) -> None:
    assert '"""Is ' not in path.read_text(encoding="utf-8")


def test_delivery_has_four_rooms_and_at_most_40_files_none_beside_them() -> None:
    files = [path.relative_to(PACKAGE / "delivery") for path in FILES if room(path).startswith("delivery")]
    assert {path.parts[0] for path in files if len(path.parts) > 1} == {"otlp", "exporters", "sending", "journal"}
    assert {path.name for path in files if len(path.parts) == 1} == {"__init__.py", "options.py"}
    assert len([path for path in files if len(path.parts) > 1 and path.name != "__init__.py"]) <= 40


OPENING = {
    "open.py",
    "journal.py",
    "resource.py",
    "otlp_json.py",
}  # called by who opens; in a thread of ours behind `importing` as a whole


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if room(path).startswith("delivery.") and path.name not in OPENING],
    ids=lambda path: path.stem,
)
def test_what_a_thread_of_ours_imports_late_a_fork_waits_for(path: Path) -> None:
    """A child keeps what another thread was importing half imported, for ever: each request of its then fails."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and [ast.unparse(item.context_expr) for item in node.items] == ["importing"]
        for inner in ast.walk(node)
    }
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    late = [node for one in functions for node in ast.walk(one) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in late if node not in guarded] == []


# --- what loads when -------------------------------------------------------------------------------------------------


def _loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n--\\n' + '\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=golden.PROJECT)
    return set(done.stdout.rpartition("--\n")[2].split())


HEAVY = {
    "grpc",
    "opentelemetry.sdk",
    "opentelemetry.exporter",
    "google.protobuf",
    "requests",
    "urllib3",
    "rich",
    "click",
}


def test_importing_otel_phi_loads_neither_grpc_nor_the_sdk() -> None:
    assert _loaded_by("import otel_phi") & HEAVY == set()


def test_reading_a_file_into_spans_loads_neither_grpc_nor_the_sdk() -> None:
    statement = f"import otel_phi; assert list(otel_phi.spans(otel_phi.read_events({str(golden.DEMO)!r})))"
    assert _loaded_by(statement) & HEAVY == set()


@pytest.mark.skipif(importlib.util.find_spec("otel_phi.cli") is None, reason="no otel_phi.cli yet")
def test_showing_a_trace_loads_neither_grpc_nor_the_sdk() -> None:
    statement = f"from otel_phi.cli import main; main(['show', {str(golden.DEMO)!r}], standalone_mode=False)"
    loaded = _loaded_by(statement)
    assert "otel_phi.pipeline" in loaded
    assert loaded & {"grpc", "opentelemetry.sdk", "opentelemetry.exporter"} == set()


# --- how long --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*FILES, *TESTS], ids=lambda path: path.relative_to(golden.PROJECT).as_posix())
def test_a_file_is_at_most_400_lines_long(path: Path) -> None:
    name = path.relative_to(golden.PROJECT).as_posix()
    allowed = MAX_FILE_LINES if path in FILES else 600  # a test is a list of claims
    assert len(path.read_text(encoding="utf-8").splitlines()) <= allowed, name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(golden.PROJECT).as_posix())
def test_a_function_is_at_most_35_lines_long_without_its_docstring(path: Path) -> None:
    assert [text for text in _long_functions(path) if text] == []


def _long_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            length = (node.body[-1].end_lineno or 0) - first.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{node.name}: {length} lines"


# --- the mapping table ---------------------------------------------------------------------------------------------------

_ROOT_NAMES = {"root": s.ROOT}


def _spots(spans_: Iterable[Span]) -> Iterator[tuple[str, str]]:
    """Yields each attribute key with the place it stands on, as the table's `on` column names it."""
    for span in spans_:
        yield from _keys(span.attributes, _ROOT_NAMES.get(role(span), role(span)))
        for event in span.events:
            yield from _keys(event.attributes, f"event {event.name}")
        for link in span.links:
            yield from _keys(link.attributes, s.LINK)


def _keys(attributes: Attributes, where: str) -> Iterator[tuple[str, str]]:
    for key, _ in attributes:
        if key.startswith(s.PARALLEL_USAGE):
            key = s.PARALLEL_USAGE  # noqa: PLW2901  (one row stands for the names below it)
        yield key, where


def _all_spots() -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    streams = [*golden.small_streams().values(), *SMALL_CASES.values(), *OWN_CASES.values()]
    if golden.present:
        streams += [events for name in ("recorder_cases", "recorder_wild") for _, events in golden.random_streams(name)]
    for events in streams:
        found.update(_spots(spans(events)))
        found.update(_spots(spans(events, options_for("mlflow"))))
        found.update(_spots(spans(events, options_for("phoenix"))))
        found.update(_spots(_lost(events)))
        found.update(_spots(spans(events, MappingOptions(source_info=True))))
    prices = Prices(PriceSource(PriceTable((Price(model="m", input=Decimal(1), output=Decimal(2)),))), lambda _: None)
    found.update(_spots(spans(OWN_CASES["own agent"], prices=prices)))
    found.update(_spots(spans(golden.demo(), options_for("mlflow", trace_scope="session", agent_name="fixer"))))
    found.update(_spots(spans(content_story(), resolve(capture_content=True, max_attribute_bytes=512))))
    return found


def _lost(events: Iterable[AgentEvent]) -> Iterator[Span]:
    """Yields what a process leaves that is lost while something of these is open."""
    core = RecorderCore()
    for notice in (notice for event in events for notice in core.on_event(event)):
        if isinstance(notice, LoopOpened | TurnOpened | GroupOpened):
            yield opened_span(notice, MappingOptions())


def test_every_attribute_on_a_span_event_or_link_has_its_row_and_every_row_occurs() -> None:
    table = {(row.key, where) for row in s.TABLE for where in row.on}
    found = _all_spots()
    assert found - table == set(), "written, but not in the table"
    assert table - found == set(), "in the table, but never written"


def test_no_row_stands_twice_and_nothing_is_invented_inside_gen_ai() -> None:
    keys = [row.key for row in s.TABLE]
    assert len(keys) == len(set(keys))
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

    theirs = {value for name, value in vars(gen_ai_attributes).items() if name.isupper()}
    assert {key for key in keys if key.startswith("gen_ai.")} - theirs == set()


def test_every_constant_of_a_name_has_a_row() -> None:
    rows = {row.key for row in s.TABLE}
    events = {value for name, value in vars(s).items() if name.startswith("EVENT_") and name != "EVENT_TYPE"}
    names = {
        value
        for name, value in vars(s).items()
        if name.isupper() and isinstance(value, str) and "." in value and "//" not in value and " " not in value
    }
    assert names - events - rows == set()
