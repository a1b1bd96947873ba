"""The reference of the control socket: requests and answers."""

from __future__ import annotations

import msgspec

from dkrepl.api import answers, requests
from dkrepl.core.election.promotion import Assessment
from tools.generate import fields, markdown

ANSWERS: dict[type[requests.Request], tuple[type[msgspec.Struct], ...] | str] = {
    requests.Status: "the [status](status.md) of the node",
    requests.Events: "an empty object, after the events",
    requests.Pause: (answers.Targets,),
    requests.Resume: (answers.Targets,),
    requests.Resync: (answers.Targets,),
    requests.Verify: (answers.Verification,),
    requests.Intent: (answers.Intent,),
    requests.Promote: (answers.RoleChange, Assessment),
    requests.Demote: (answers.RoleChange,),
    requests.Switchover: (answers.RoleChange,),
    requests.Resolve: (answers.RoleChange,),
    requests.Reload: (answers.Reloaded,),
    requests.Clear: (answers.Cleared,),
    requests.Adopt: (answers.Adopted,),
    requests.Descriptions: (answers.Descriptions,),
}
"""What is answered to each request."""

_INTRODUCTION = """\
The daemon of a mirror listens on a Unix stream socket, `/run/dkrepl/MIRROR.sock`, mode 0660, for root and the group
`dkrepl`. Members of the group can give every command, also those that change roles.

A client sends one JSON object on one line, at most 64 KiB: `{"command": "status"}`. The daemon answers with any number
of `{"progress": ...}` lines and then one `{"ok": ...}` or `{"error": {"code", "name", "message"}}`, and closes. Neither
side waits for more than 10 seconds for the next line of the other; a daemon that works longer on something sends
`{"progress": {}}` every 5 seconds. At most 32 clients are served at a time.

A change of role is answered when it is ordered; the daemon changes over afterwards.

A key that is left out has its default. A request with a key that the daemon does not know is refused; answers may gain
keys, so pass over those that you do not know. As JSON Schema: [requests](schema/requests.json),
[answers](schema/answers.json), [status](schema/status.json).
"""


def reference() -> str:
    """Return the page."""
    assert set(ANSWERS) == set(requests.KINDS)
    structs = [inner for kind in answer_kinds() for inner in (kind, *fields.nested(kind))]
    documented = {kind: f"Answer {kind.__name__}" for kind in structs if kind.__module__ == answers.__name__}
    parts = [_INTRODUCTION.strip(), "## Requests"]
    parts += [_request(kind, documented) for kind in requests.KINDS]
    parts.append("## Answers")
    shown: list[type[msgspec.Struct]] = [answers.VerifyProgress, *documented]
    for answer in shown:
        table = fields.fields_table(answer, documented)
        parts.append(f"### Answer {answer.__name__}\n\n{markdown.doc(answer)}\n\n{table}")
    return markdown.page("The control socket", "dkrepl/api/requests.py and answers.py", *parts)


def answer_kinds() -> list[type[msgspec.Struct]]:
    """Return the structures that are answered, but for those of ``status``."""
    found: dict[type[msgspec.Struct], None] = {}
    for of in ANSWERS.values():
        if not isinstance(of, str):
            found |= dict.fromkeys(of)
    return list(found)


def _request(kind: type[requests.Request], headings: dict[type[msgspec.Struct], str]) -> str:
    table = f"\n\n{fields.fields_table(kind, {}, defaults=True)}" if kind.__struct_fields__ else ""
    answer = ANSWERS[kind]
    if not isinstance(answer, str):
        answer = ", or ".join(_link(one, headings) for one in answer)
    return f"### `{requests.command_of(kind)}`\n\n{markdown.doc(kind)} Answer: {answer}.{table}"


def _link(kind: type[msgspec.Struct], headings: dict[type[msgspec.Struct], str]) -> str:
    if kind is Assessment:
        return "with `dry_run` what [`promote --dry-run --json`](json-output.md#promote---dry-run) prints"
    return f"[{kind.__name__}]({markdown.anchor(headings[kind])})"
