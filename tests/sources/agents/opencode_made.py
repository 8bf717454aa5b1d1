"""opencode's sessions, made: the same ones in its database, as exported documents, and in the files of older versions."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.sources.agents.samples import written

SESSION, CHILD, FORK = (
    "ses_4f0000000001aaaaaaaaaaaaaa",
    "ses_4f0000000002bbbbbbbbbbbbbb",
    "ses_4f0000000003cccccccccccccc",
)
BASE_MS = 1_793_527_200_000  # 2026-11-01 10:00:00 UTC
MODEL = {"modelID": "m", "providerID": "anthropic"}
TOKENS = {"input": 10, "output": 5, "reasoning": 2, "cache": {"read": 100, "write": 20}}
NO_TOKENS = {"input": 0, "output": 0, "reasoning": 0, "cache": {"read": 0, "write": 0}}

Record = dict[str, Any]


def ms(second: float) -> int:
    return BASE_MS + int(second * 1_000)


def session(own: str = SESSION, created: float = 0, **more: Any) -> Record:
    """Returns a session's record."""
    times = {"created": ms(created), "updated": ms(created + 100)}
    common = {"projectID": "prj", "directory": "/w", "title": "a title", "version": "1.18.33"}
    return {"info": {"id": own, **common, "time": times, **more}}


def said(text: str = "do it", **more: Any) -> Record:
    return {"type": "text", "text": text, **more}


def user(name: str, second: float, *parts: Record, own: str = SESSION, **more: Any) -> Record:
    """Returns a user's message."""
    info = {"id": f"msg_{name}", "sessionID": own, "role": "user", "agent": "build", "model": MODEL}
    return {"info": {**info, "time": {"created": ms(second)}, **more}, "parts": list(parts or (said(),))}


def answer(
    name: str, began: float, ended: float | None, *parts: Record, to: str = "u", own: str = SESSION, **more: Any
) -> Record:
    """Returns an answer: `stop` where it has no tools."""
    times = {"created": ms(began), **({} if ended is None else {"completed": ms(ended)})}
    info: Record = {"id": f"msg_{name}", "sessionID": own, "role": "assistant", "parentID": f"msg_{to}", "time": times}
    info |= {
        **MODEL,
        "agent": "build",
        "mode": "build",
        "cost": 0.5,
        "tokens": TOKENS,
        "path": {"cwd": "/w", "root": "/"},
    }
    if ended is not None:
        info["finish"] = "tool-calls" if any(part["type"] == "tool" for part in parts) else "stop"
    return {"info": {**info, **more}, "parts": [{"type": "step-start"}, *(parts or (said("done"),))]}


def tool(call_id: str, began: float, ended: float | None = None, name: str = "bash", **state: Any) -> Record:
    """Returns a tool part, completed where it has an end."""
    times = {"start": ms(began), **({} if ended is None else {"end": ms(ended)})}
    own = {"status": "running" if ended is None else "completed", "input": {"command": "ls"}, "time": times}
    return {"type": "tool", "callID": call_id, "tool": name, "state": {**own, "output": "out", **state}}


def task(call_id: str, began: float, ended: float, child: str = CHILD) -> Record:
    """Returns a tool part that ran a sub-agent."""
    return tool(call_id, began, ended, "task", metadata={"sessionId": child})


def data(*records: Record) -> bytes:
    """Returns records as a fold takes them."""
    return written(*records)


# --- where they are kept -------------------------------------------------------------------------------------------------

SCHEMA = """
CREATE TABLE session (id text PRIMARY KEY, project_id text NOT NULL, parent_id text, slug text NOT NULL, directory text NOT NULL,
  title text NOT NULL, version text NOT NULL, time_created integer NOT NULL, time_updated integer NOT NULL);
CREATE TABLE message (id text PRIMARY KEY, session_id text NOT NULL, time_created integer NOT NULL, time_updated integer NOT NULL,
  data text NOT NULL);
CREATE TABLE part (id text PRIMARY KEY, message_id text NOT NULL, session_id text NOT NULL, time_created integer NOT NULL,
  time_updated integer NOT NULL, data text NOT NULL);
CREATE INDEX message_session_time_created_id_idx ON message (session_id, time_created, id);
CREATE INDEX part_message_id_id_idx ON part (message_id, id);
CREATE INDEX part_session_idx ON part (session_id);
"""  # of 1.18.33, the columns that nobody reads left out


SECOND = """
CREATE TABLE session_v2 (id text PRIMARY KEY, parent_id text, fork_session_id text, directory text NOT NULL, title text, version text NOT NULL,
  time_created integer NOT NULL, time_updated integer NOT NULL);
CREATE TABLE session_message (id text PRIMARY KEY, session_id text NOT NULL, type text NOT NULL, seq integer NOT NULL,
  time_created integer NOT NULL, time_updated integer NOT NULL, data text NOT NULL);
"""  # of 2.0.26


def second(path: Path, *rows: tuple[str, str, str, float, Record], sessions: Iterable[Record] = ()) -> Path:
    """Adds the tables of opencode 2 to a database, or makes one of them.

    Args:
        path: the database.
        *rows: messages: id, session, type, second of the story, data.
        sessions: the sessions, as records.
    """
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(SECOND)
    for info in (record["info"] for record in sessions):
        row = (
            info["id"],
            info.get("parentID"),
            info.get("forkedFrom"),
            info["directory"],
            info["title"],
            info["version"],
        )
        times = (info["time"]["created"], info["time"]["updated"])
        connection.execute("INSERT INTO session_v2 VALUES (?,?,?,?,?,?,?,?)", (*row, *times))
    for number, (own, at, kind, began, content) in enumerate(rows):
        times = (ms(began), content.get("time", {}).get("completed", ms(began)))
        dumped = json.dumps({"time": {"created": ms(began)}, **content})
        connection.execute(
            "INSERT INTO session_message VALUES (?,?,?,?,?,?,?)", (own, at, kind, 3 * number, *times, dumped)
        )
    connection.commit()
    connection.close()
    return path


def answered(began: float, streamed: float, ended: float, *content: Record, **more: Any) -> Record:
    """Returns the data of an answer of opencode 2."""
    times = {"created": ms(began), "streamed": ms(streamed), "completed": ms(ended)}
    finish = "tool-calls" if any(part["type"] == "tool" for part in content) else "stop"
    common = {
        "agent": "build",
        "model": {"id": "m", "providerID": "anthropic"},
        "finish": finish,
        "cost": 0.5,
        "tokens": TOKENS,
    }
    return {"time": times, "content": list(content or ({"type": "text", "text": "done"},)), **common, **more}


def ran(call_id: str, began: float, ended: float, name: str = "shell", **state: Any) -> Record:
    """Returns a tool of opencode 2."""
    own = {"status": "completed", "input": {"command": "ls"}, "content": [{"type": "text", "text": "out"}], **state}
    times = {"created": ms(began - 0.1), "ran": ms(began), "completed": ms(ended)}
    return {"type": "tool", "id": call_id, "name": name, "executed": False, "state": own, "time": times}


def open_database(path: Path, *, wal: bool = True) -> sqlite3.Connection:
    """Opens a database as opencode does, making its tables where there are none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")
    if not connection.execute("SELECT name FROM sqlite_master").fetchall():
        connection.executescript(SCHEMA)
    return connection


def insert(connection: sqlite3.Connection, records: Iterable[Record], now_ms: int | None = None) -> None:
    """Writes sessions and messages as opencode does: ids in columns, the rest as JSON."""
    for record in records:
        info = dict(record["info"])
        created = info["time"]["created"]
        updated = now_ms or info["time"].get("completed") or created
        if "role" not in info:
            row = (info["id"], "prj", info.get("parentID"), "slug", info["directory"], info["title"], info["version"])
            connection.execute(f"REPLACE INTO session VALUES (?,?,?,?,?,?,?,{created},{updated})", row)
            continue
        own, at = info.pop("id"), info.pop("sessionID")
        connection.execute("REPLACE INTO message VALUES (?,?,?,?,?)", (own, at, created, updated, json.dumps(info)))
        for number, part in enumerate(record["parts"]):
            inner = (f"prt_{own}_{number:03}", own, at, created, updated, json.dumps(part))
            connection.execute("REPLACE INTO part VALUES (?,?,?,?,?,?)", inner)
    connection.commit()


def database(path: Path, *records: Record, wal: bool = True) -> Path:
    """Writes a database and closes it: nothing lies beside it then."""
    connection = open_database(path, wal=wal)
    insert(connection, records)
    connection.close()
    return path


def document(path: Path, *records: Record, indent: int | None = 2) -> Path:
    """Writes what `opencode export` prints."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"info": records[0]["info"], "messages": list(records[1:])}, indent=indent) + "\n")
    os.utime(path, (time.time() - 3_600,) * 2)
    return path


def folder(root: Path, *records: Record, oldest: bool = False) -> Path:
    """Writes the files of a version before 1.2, or before 0.6."""
    for record in records:
        info = record["info"]
        if "role" not in info:
            _file(root / ("session/info" if oldest else "session/prj") / f"{info['id']}.json", info)
            continue
        at, own = info["sessionID"], info["id"]
        _file(root / ("session/message" if oldest else "message") / at / f"{own}.json", info)
        inner = root / (f"session/part/{at}/{own}" if oldest else f"part/{own}")
        for number, part in enumerate(record["parts"]):
            ids = {"id": f"prt_{number:03}", "messageID": own, "sessionID": at}
            _file(inner / f"prt_{number:03}.json", {**ids, **part})
    return root


def _file(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2))
    os.utime(path, (time.time() - 3_600,) * 2)


# --- a story -------------------------------------------------------------------------------------------------------------


def story() -> list[Record]:
    """Returns a session with a sub-agent, a failed tool, a compaction and an interrupt, and a fork of it."""
    main = [
        session(),
        user("u1", 0),
        answer("a1", 0.1, 20, tool("c1", 3, 4, status="error", error="no such file"), task("c2", 4, 19), to="u1"),
        answer("a2", 20, 25, to="u1"),
        user("u2", 30),
        answer("a3", 30.1, 35, tool("c3", 32, 34.5), to="u2"),
        user("u3", 35.1, {"type": "compaction", "auto": True}),
        answer("a4", 35.2, 38, to="u3", summary=True, mode="compaction", agent="compaction"),
        user("u4", 38.1, said("Continue if you have next steps", synthetic=True)),
        answer("a5", 38.2, 40, to="u4"),
        user("u5", 50),
        answer("a6", 50.1, 53, tool("c4", 51), to="u5", tokens=NO_TOKENS, cost=0, error=aborted()),
    ]
    child = [
        session(CHILD, 4, parentID=SESSION),
        user("cu", 4.1, own=CHILD, agent="explore"),
        answer("ca", 4.2, 12, tool("c1", 8, 11), to="cu", own=CHILD, agent="explore"),
        answer("cb", 12, 18, to="cu", own=CHILD, agent="explore"),
    ]
    copies = [renamed(record, FORK) for record in main[1:4]]
    fork = [session(FORK, 60, title="a title (fork #1)"), *copies]
    fork += [user("f1", 61, own=FORK), answer("f2", 61.1, 66, to="f1", own=FORK)]
    return [*main, *child, *fork]


def aborted() -> Record:
    return {"name": "MessageAbortedError", "data": {"message": "The operation was aborted."}}


def renamed(record: Record, own: str) -> Record:
    """Returns a copied message, as a fork has it: other ids, the same times."""
    info = {**record["info"], "id": f"{record['info']['id']}_copy", "sessionID": own}
    if "parentID" in info:
        info["parentID"] += "_copy"
    return {**record, "info": info}


def of(records: list[Record], own: str) -> list[Record]:
    """Returns one session's records."""
    return [one for one in records if own in (one["info"].get("sessionID"), one["info"]["id"])]
