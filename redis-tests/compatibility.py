"""docs/compatibility.md: how much of Redis's own suite passes, unit by unit, from what the last whole run saw."""
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "compatibility.md"
HEAD = """# Compatibility

How many tests of Redis {version}'s own suite pass with `cairn-server` standing where `redis-server` stood. `make compat`
runs them and writes this page; a test that is left out has its reason in `redis-tests/skip.txt`, and below.

A unit is a file of the suite. *Passed* were run and passed, *left out* were not run, *failed* were run and did not pass.
Tests that the suite itself does not run in this setting (its tags: `large-memory`, `needs:debug` builds and the like) are
not counted.

The suite is Redis {version}'s, the behaviour that of 7.2. Where 7.2's own suite expects another outcome of a test, that is what
is expected here (`redis-tests/expectations.py`); those tests are named below as well.
"""


def write(outcomes, left_out, skips, changed, version):
    """`outcomes`: what each unit gave; `left_out`: unit -> reason, for units that were not run at all; `changed`: unit,
    tests and behaviour where 7.2 differs."""
    rows, reasons = [], {}
    total_passed = total_out = total_failed = 0
    for outcome in sorted(outcomes, key=lambda outcome: outcome.unit):
        out = [name for name in outcome.skipped if reason_of(name, skips.get(outcome.unit, {}))]
        for name in out:
            reasons.setdefault(reason_of(name, skips[outcome.unit]), []).append((outcome.unit, name))
        passed, failed = len(outcome.passed), len(outcome.failed)
        rows.append(f"| {outcome.unit} | {passed} | {len(out)} | {failed} | {share(passed, passed + len(out) + failed)} |")
        total_passed, total_out, total_failed = total_passed + passed, total_out + len(out), total_failed + failed
    whole = total_passed + total_out + total_failed
    lines = [HEAD.format(version=version)]
    lines.append(f"**{total_passed} of {whole} tests pass: {share(total_passed, whole)}.**\n")
    lines += ["| unit | passed | left out | failed | share |", "|---|---:|---:|---:|---:|", *rows]
    lines.append(f"| **all** | {total_passed} | {total_out} | {total_failed} | {share(total_passed, whole)} |\n")
    if left_out:
        lines += ["## Units that are not run\n", *[f"- {unit}: {why}" for unit, why in sorted(left_out.items())], ""]
    lines += [f"## Tests that expect what 7.2's suite does ({sum(len(tests) for _, tests, _ in changed)})\n"]
    lines += [f"- **{why}** ({len(tests)})\n  - {unit}: {'; '.join(tests)}" for unit, tests, why in changed]
    lines += ["\n## Tests that are left out, by reason\n"]
    for reason, tests in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0])):
        units = {}
        for unit, name in tests:
            units.setdefault(unit, []).append(name)
        lines.append(f"- **{reason}** ({len(tests)})")
        lines += [f"  - {unit}: {'; '.join(sorted(names))}" for unit, names in sorted(units.items())]
    PAGE.write_text("\n".join(lines).rstrip() + "\n")


def reason_of(name, skips):
    if name in skips:
        return skips[name]
    return next((why for known, why in skips.items() if known.startswith("/") and re.search(known[1:], name)), None)


def share(part, whole):
    return f"{100 * part / whole:.1f} %" if whole else "-"
