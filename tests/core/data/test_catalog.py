"""The list of checks against those that the code raises."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from core.data import problems
from core.data.analysis import row_facts
from core.data.catalog import CHECKS
from core.data.worker import edit_requests
from core.paths import ROOT
from tui.data import outputs

NAMES = {"ERROR": problems.ERROR, "WARNING": problems.WARNING, "NOTE": problems.NOTE}


def words(node: ast.AST, function: ast.AST) -> set[str]:
    """The texts that an argument can be; those of a variable are all that its function names."""
    if isinstance(node, ast.Name) and node.id in NAMES:
        return {NAMES[node.id]}
    if isinstance(node, ast.Constant):
        return {str(node.value)}
    if isinstance(node, ast.IfExp):
        return words(node.body, function) | words(node.orelse, function)
    found: set[str] = set()
    for part in ast.walk(function):
        if isinstance(part, ast.Assign) and isinstance(node, ast.Name):
            found |= set().union(*assigned(part.targets[0], part.value, node.id, function))
    return found


def assigned(target: ast.expr, value: ast.expr, name: str, function: ast.AST) -> Iterator[set[str]]:
    if isinstance(target, ast.Name) and target.id == name:
        yield words(value, function)
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for inner, given in zip(target.elts, value.elts, strict=True):
            yield from assigned(inner, given, name, function)


def raised() -> Iterator[tuple[str, str, str]]:
    """(place, check, severity) of each problem that the code can make."""
    for path in sorted((ROOT / "core" / "data").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                if not isinstance(call.func, ast.Name) or call.func.id != "problem":
                    continue
                place = f"{path.relative_to(ROOT)}:{call.lineno}"
                given = [word.value for word in call.keywords if word.arg == "severity"]
                given += call.args[5:6]
                severities = words(given[0], function) if given else {problems.ERROR}
                checks = words(call.args[0], function)
                assert checks and severities, f"{place}: its check can't be told"
                yield from ((place, check, one) for check in checks for one in severities)


RAISED = sorted(raised())


@pytest.mark.parametrize(("place", "check", "severity"), RAISED)
def test_a_check_of_the_code_is_listed_with_its_severity(
    place: str, check: str, severity: str
) -> None:
    assert check in CHECKS, place
    assert severity in CHECKS[check].severities, place


def test_every_check_of_the_list_is_one_of_the_code_with_each_of_its_severities() -> None:
    listed = {(name, one) for name, check in CHECKS.items() for one in check.severities}
    assert listed == {(check, severity) for _, check, severity in RAISED}


def test_every_fix_of_the_pane_is_one_of_the_writer() -> None:
    assert {fix.name for fix in outputs.FIXES} == set(edit_requests.FIXES)


def test_the_facts_of_a_row_have_a_bit_for_every_check() -> None:
    assert len(CHECKS) <= row_facts._MOST_CHECKS
