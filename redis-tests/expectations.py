"""Where Redis 7.2 behaves differently from 7.0, and its own suite expects that of the same test.

The suite that is run is Redis 7.0's, while the behaviour that is offered is that of 7.2. In these places the lanes'
copies of the suite expect what 7.2's suite expects; docs/compatibility.md names the tests. A place that the suite no
longer has fails the run, so that this list cannot rot.
"""
from dataclasses import dataclass


@dataclass(frozen=True)
class Expectation:
    """Of one behaviour: in `file`, each text on the left becomes the one on its right."""

    file: str
    why: str
    # The unit and the tests that are run so; none where only the word for an encoding differs.
    unit: str
    tests: tuple[str, ...]
    edits: tuple[tuple[str, str], ...]


def _zset(command):
    line = f"[lindex $aux $i] {{op}}[r {command} zscoretest $i]"
    return (f"assert_equal {line.format(op='')}", f"assert {{{line.format(op='== ')}}}")


EXPECTATIONS = (
    Expectation(
        "tests/support/test.tcl",
        'a list of one node has the encoding "listpack"',
        "",
        (),
        (
            (
                "    assert_match $enc $val\n",
                "    if {$enc eq {quicklist} && $val eq {listpack}} return\n    assert_match $enc $val\n",
            ),
        ),
    ),
    Expectation(
        "tests/unit/type/zset.tcl",
        "scores have the fewest digits that tell them from others, not always 17: they are compared as numbers",
        "unit/type/zset",
        tuple(
            f"{name} - {encoding}"
            for name in ("ZSCORE", "ZMSCORE", "ZSCORE after a DEBUG RELOAD")
            for encoding in ("listpack", "skiplist")
        ),
        (_zset("zscore"), _zset("zmscore")),
    ),
    Expectation(
        "tests/unit/type/stream-cgroups.tcl",
        "a consumer is there as soon as it waits",
        "unit/type/stream-cgroups",
        ("Consumer without PEL is present in AOF after AOFRW",),
        (
            ("assert_equal $n_consumers 2\n", "assert_equal $n_consumers 3\n"),
            (
                'assert_equal [lindex $consumer_info 1] "Charlie"',
                'assert_equal [lindex [lindex $reply 2] 1] "Charlie"',
            ),
        ),
    ),
    Expectation(
        "tests/unit/aofrw.tcl",
        "a list of one node is no quicklist: it is given several",
        "unit/aofrw",
        tuple(f"AOF rewrite of list with quicklist encoding, {data} data" for data in ("string", "int")),
        (
            (
                "        foreach e {quicklist} {\n",
                "        foreach e {quicklist} {\n            r config set list-max-listpack-size 10\n",
            ),
        ),
    ),
)


def apply(lane):
    """Has a lane's copy of the suite expect so; the places that are missing, as texts."""
    missing = []
    for expectation in EXPECTATIONS:
        path = lane / expectation.file
        text = path.read_text()
        for old, new in expectation.edits:
            if old not in text:
                missing.append(f"{expectation.file}: {old.strip()}")
            text = text.replace(old, new)
        path.write_text(text)
    return missing


def changed():
    """Unit, tests and behaviour of those that are run so."""
    return [(one.unit, one.tests, one.why) for one in EXPECTATIONS if one.tests]
