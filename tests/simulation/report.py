"""How a failure is told: the rule, the smallest set of faults, the end of the trace, and how to see it again."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.shrink import shrink
from tests.simulation.simulate import Result


def again(result: Result) -> str:
    """The command that repeats a run."""
    only = "" if result.only is None else f" ONLY={','.join(map(str, sorted(result.only))) or '0'}"
    vary = f" VARY={result.vary}" if result.vary else ""
    return f"make simulate SEEDS=1 START={result.seed}{only}{vary}"


def told(result: Result, lines: int) -> list[str]:
    """The failure of a run, with ``lines`` of its trace."""
    out = [f"seed {result.seed}: {result.failure}"]
    out += [f"    {line}" for line in (result.trace[-lines:] if lines else ())]
    if result.faults:
        out.append(f"  {len(result.faults)} faults:")
        out += [f"    {fault.number:3d}  {fault.at:7.3f} s  {fault.kind}" for fault in result.faults]
    return [*out, f"  again: {again(result)}"]


def shrunk(failed: Result, lines: int, seconds: float, report: Callable[[str], None] = lambda _: None) -> str:
    """Find the smallest run that breaks the same rule and tell of it; how to see the whole run comes last."""
    smallest = shrink(failed, seconds, report)
    out = [f"seed {failed.seed} failed: {failed.failure}"] if smallest is not failed else []
    out += told(smallest, lines)
    if smallest is not failed:
        out.append(f"  with all {len(failed.faults)} faults: {again(failed)}")
    return "\n".join(out)
