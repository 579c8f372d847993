"""The contract of test types catches what it is there for: each promise is broken once, and said to be."""
from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcpweb.bench.rows import CheckResultRow, RunOutcome
from mcpweb.contracts import Check, CheckResult, TestType
from mcpweb.core import Core, open_core
from mcpweb.testing import testtypecontract
from mcpweb.testing.contracts import TestTypeContract
from mcpweb.testing.fakes import FakeRuntime
from mcpweb.testing.fixtures import settings_for
from mcpweb.testing.testruns import Ended, carry_out
from mcpweb.testing.testtypecontract import faults_of

DECLARED = TestType("t", "T", "Tests.", (Check("X01", "First", "low"),), lambda context: ())


@pytest.fixture
def core(tmp_path: Path, migrated_file: Path, runtime: FakeRuntime) -> Iterator[Core]:
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o700)
    shutil.copy(Path(__file__).with_name("hostile_test_types.py"), folder / "hostile.py")
    (folder / "hostile.py").chmod(0o600)
    made = open_core(settings_for(tmp_path, plugins_dir=str(folder)), role="worker")
    made.use_runtime(runtime)
    yield made
    made.close()


class TestSound(TestTypeContract):
    """A sound test type of a team passes."""

    test_type = "good"


def told(*results: CheckResult) -> list[str]:
    return faults_of(Ended(RunOutcome(None, None), 1.0, [CheckResultRow("t", "low", one) for one in results]), DECLARED)


def test_results_that_are_none_are_named() -> None:
    sound = CheckResult("X01", "pass", "It holds.")
    assert told(sound) == [] and told(sound, CheckResult("X01", "pass", "It holds.", key="other")) == []
    wrong = [
        (sound, sound), (CheckResult("X99", "pass", "It holds."),), (CheckResult("X01", "pass", " "),),
        (CheckResult("X01", "fail", "It does not hold.", reproduce="Look."),),
        (CheckResult("X01", "fail", "It does not hold.", next_step="Mend it."),), (CheckResult("X01", "maybe", "It holds."),),  # type: ignore[arg-type]
        (CheckResult("X01", "pass", "It holds.", evidence={"cut": "…"}),), (CheckResult("X01", "pass", "It holds.", severity="bad"),),  # type: ignore[arg-type]
    ]
    assert [len(told(*results)) for results in wrong] == [1] * len(wrong)


@pytest.mark.parametrize(("name", "said"), [("hangs", "budget"), ("raises", "The test type failed")])
def test_a_test_type_that_does_not_end_or_fails_is_caught(
    core: Core, runtime: FakeRuntime, name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testtypecontract, "BUDGET_S", 1.0)
    monkeypatch.setattr(testtypecontract, "LATE_S", 2.0)
    contract = TestSound()

    def run(behaviour: Callable[[], object], **more: object) -> Ended:
        return carry_out(core, runtime, name, budget_s=1.0)

    with pytest.raises(AssertionError) as caught:
        if name == "hangs":
            assert contract._faults(run(lambda: None), core.test_types[name]) == []
        else:
            contract.test_every_result_on_a_sound_server_is_a_verdict_of_a_declared_check(run, core.test_types[name], True)
    assert re.search(said, str(caught.value))
