"""The terms on which CPython's tests count at one level, read from tests/conformance/expectations.toml."""

import dataclasses
import fnmatch
import pathlib
import tomllib

import interpreters
from interpreters import ROOT

EXPECTATIONS = ROOT / "tests/conformance/expectations.toml"


@dataclasses.dataclass
class Exemption:
    """One line of expectations.toml: a pattern of test ids (or names), why, and where it holds."""

    pattern: str
    reason: str
    minors: tuple[str, ...]
    matched: bool = False

    def covers(self, test_id: str, minor: str) -> bool:
        if minor in self.minors and fnmatch.fnmatchcase(test_id, self.pattern):
            self.matched = True
            return True
        return False


class Terms:
    """What is in scope and which failures are expected, from expectations.toml."""

    def __init__(self, path: pathlib.Path, level: int) -> None:
        document = tomllib.loads(path.read_text())
        here = document[f"level-{level}"]
        self.modules: list[str] = here["modules"]
        self.out_of_scope = [
            *self._read(document.get("out-of-scope", {})),
            *self._read(here.get("out-of-scope", {})),
        ]
        self.expected = [
            *self._read(document.get("expected-failures", {})),
            *self._read(here.get("expected-failures", {})),
        ]
        # Names, not tests; oxio need not have them yet.
        self.unasked = self._read(here.get("unasked", {}))

    @staticmethod
    def _read(table: dict) -> list[Exemption]:
        exemptions = []
        for section, lines in table.items():
            minors = versions_of(section)
            for pattern, reason in lines.items():
                if not reason.strip():
                    raise SystemExit(f"{EXPECTATIONS}: {pattern} has no reason")
                exemptions.append(Exemption(pattern, reason, minors))
        return exemptions

    def is_out_of_scope(self, test_id: str, minor: str) -> bool:
        return self._reason(self.out_of_scope, test_id, minor) is not None

    def is_unasked(self, name: str, minor: str) -> bool:
        return self._reason(self.unasked, name, minor) is not None

    def expected_reason(self, test_id: str, minor: str) -> str | None:
        return self._reason(self.expected, test_id, minor)

    @staticmethod
    def _reason(exemptions: list[Exemption], test_id: str, minor: str) -> str | None:
        # All are asked, not only the first that covers it: `unmatched` wants to know of each.
        reasons = [exemption.reason for exemption in exemptions if exemption.covers(test_id, minor)]
        return reasons[0] if reasons else None

    def unmatched(self, minors: set[str]) -> list[str]:
        """Lines that name nothing on the interpreters that were run, though all of theirs were."""
        return [
            exemption.pattern
            for exemption in self.out_of_scope + self.expected
            if not exemption.matched and set(exemption.minors) <= minors
        ]


def versions_of(section: str) -> tuple[str, ...]:
    """`all`, `3.12`, `3.12+` or `3.12-`."""
    known = interpreters.VERSIONS
    if section == "all":
        return known
    if section.endswith("+"):
        return known[known.index(section[:-1]) :]
    if section.endswith("-"):
        return known[: known.index(section[:-1]) + 1]
    return (known[known.index(section)],)
