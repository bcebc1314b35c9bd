"""Running a plan: what is missing is made, once and in order; failures stay where they are; damage is mended."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from modeldiff_core.identity import plain
from modeldiff_core.plan import (
    InProcess,
    Outcome,
    RunFailed,
    Step,
    Tally,
    Wave,
    later,
    perform,
    read_failure,
    run,
    survey,
    verify,
)
from modeldiff_core.plan.failures import failure_key
from modeldiff_core.plan.progress import Advance, NoProgress
from modeldiff_core.plan.run import REPAIRS
from modeldiff_core.store import ObjectStore, write_record
from tests.modeldiff_core.plan import toys
from tests.modeldiff_core.plan.toys import Toy, Toys, chain, doing, plan_of, step, total

REPOSITORY = Path(__file__).parents[3]


def go(plan: Toys, store: ObjectStore) -> None:
    run(plan, store, InProcess(store))


def test_the_longest_steps_of_a_wave_start_first(store: ObjectStore, made: list[str]) -> None:
    seconds = {"a": 1.0, "b": 20.0, "c": 3.0, "d": 3.0, "e": 0.1}
    go(Toys(([step(Toy(name), cost) for name, cost in seconds.items()], [step(Toy("last"), 100.0)])), store)
    assert made == ["b", "c", "d", "a", "e", "last"], "equal ones keep their order, and a later wave waits"


def threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info()} | {torch.get_num_threads()}


def test_a_step_computes_on_one_thread_however_many_there_are(
    store: ObjectStore, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[int]] = []

    def noted(*args: Any) -> None:
        seen.append(threads())
        write_record(*args)

    monkeypatch.setattr(toys, "write_record", noted)
    np.linalg.inv(np.eye(2))  # a pool of threads is listed once its library is loaded
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threadpool_limits(2):
            go(plan_of(Toy("a")), store)
            assert threads() == {2}
    finally:
        torch.set_num_threads(before)
    assert made == ["a"]
    assert seen == [{1}]


def test_what_is_there_is_not_made_again(store: ObjectStore, made: list[str]) -> None:
    a, b, c = chain("a", "b", "c")
    go(plan_of(a, b), store)
    go(plan_of(a, b, c), store)
    assert made == ["a", "b", "c"]
    assert [total(store, toy) for toy in (a, b, c)] == [1, 2, 3]


def test_a_failure_stops_only_those_that_need_its_result(store: ObjectStore, made: list[str]) -> None:
    a, b, c = Toy("a"), Toy("b"), Toy("c")
    of_a, of_b = Toy("of a", reads=(a.reference,)), Toy("of b", reads=(b.reference,))
    last = Toy("last", reads=(of_b.reference,))
    failing = Toys(([step(a), step(doing(b, "fail")), step(c)], [step(of_b), step(of_a)], [step(last)]))
    with pytest.raises(RunFailed) as caught:
        go(failing, store)
    words = str(caught.value)
    assert words.startswith("1 tasks failed; 2 that need their results were not tried:")
    assert "b: ValueError: b cannot be made" in words
    assert made == ["a", "b", "c", "of a"]
    assert [one.name for one in survey(failing, store).missing] == ["b", "of b", "last"]
    go(Toys(([step(a), step(b), step(c)], [step(of_b), step(of_a)], [step(last)])), store)
    assert made[4:] == ["b", "of b", "last"]
    assert total(store, last) == 3


@pytest.mark.parametrize("reader", [1, 2, 3], ids=["the next step", "a later one", "the last"])
def test_a_damaged_object_is_made_again_by_its_own_step_whoever_reads_it(
    store: ObjectStore, made: list[str], reader: int
) -> None:
    a = Toy("a", 7)
    readers = [Toy(f"reader {i}", i, (a.reference,)) for i in range(1, 4)]
    plan = plan_of(a, *readers)
    go(plan, store)
    before = {key: store.read(key) for key in store.sizes("toys")}
    store.delete(readers[reader - 1].reference.record)
    store.write(a.reference.record, store.read(a.reference.record).replace(b"7", b"8"))
    made.clear()
    go(plan, store)
    assert made == [f"reader {reader}", "a", f"reader {reader}"]
    assert {key: store.read(key) for key in store.sizes("toys")} == before


def test_what_comes_out_damaged_again_and_again_is_given_up(store: ObjectStore, made: list[str]) -> None:
    a, b = chain("a", "b")
    with pytest.raises(RunFailed, match=rf"turned out damaged {REPAIRS + 1} times in a row"):
        go(plan_of(doing(a, "spoil"), b), store)
    assert made.count("a") == 1 + REPAIRS


def test_results_from_outside_are_never_deleted(store: ObjectStore, made: list[str]) -> None:
    a, b = chain("a", "b")
    go(plan_of(a), store)
    plan = Toys(([step(a, adopted=True)], [step(b)]))
    store.write(a.reference.record, b"{")
    with pytest.raises(RunFailed, match="b: DamagedObject: .*a-"):
        go(plan, store)
    assert store.read(a.reference.record) == b"{"
    assert made == ["a", "b"]
    assert [(found.kind, found.objects) for found in verify(plan, store)] == [("damaged", ()), ("missing", ())]


def test_a_recorded_failure_is_done_and_not_missing(store: ObjectStore, made: list[str]) -> None:
    a, b = Toy("a"), Toy("b")
    plan = Toys(([step(doing(a, "diverge")), step(b)],))
    go(plan, store)
    go(plan, store)
    assert made == ["a", "b"], "it is not tried again"
    found = survey(plan, store)
    assert [(known.step.name, known.state) for known in found.steps] == [("a", "failed"), ("b", "done")]
    assert found.complete
    assert read_failure(store, a.reference) == {"reason": "it diverged", "facts": {"loss": 9.5}}
    assert read_failure(store, b.reference) is None
    assert verify(plan, store) == (), "its record is no stray"
    store.delete(failure_key(a.reference))
    assert [one.name for one in survey(plan, store).missing] == ["a"]
    go(plan, store)
    perform(store, step(a).work())
    assert read_failure(store, a.reference) is None, "a result replaces an earlier failure"
    assert total(store, a) == 1


def test_work_is_resumed_from_its_checkpoint_which_goes_with_the_result(store: ObjectStore, made: list[str]) -> None:
    a = doing(Toy("a", 5), "pause")
    plan = plan_of(a)
    with pytest.raises(RunFailed, match="killed in the middle"):
        go(plan, store)
    assert store.exists(f"{a.scratch}half.json")
    assert [(found.key, found.kind) for found in verify(plan, store)] == [(a.reference.record, "missing")]
    assert [one.name for one in survey(plan, store).missing] == ["a"], "a checkpoint is no result"
    go(plan, store)
    assert made == ["a", "a"]
    assert total(store, a) == 5
    assert list(store.sizes("toys")) == [a.reference.record]
    store.write(f"{a.scratch}half.json", b"left by a kill between the result and this")
    assert [found.kind for found in verify(plan, store)] != []


def test_later_waves_depend_on_what_earlier_ones_gave(store: ObjectStore, made: list[str]) -> None:
    a = Toy("a", 3)

    def as_many(store: ObjectStore) -> Wave:
        return later("parts", "a is there", lambda: [step(Toy(f"part {i}", i)) for i in range(total(store, a))])

    plan = Toys(([step(a)], as_many, [step(Toy("last"))]))
    found = survey(plan, store)
    assert found.awaits == {"parts": "a is there"}
    assert [one.name for one in found.missing] == ["a", "last"]
    assert not found.complete
    go(plan, store)
    assert made == ["a", "part 0", "part 1", "part 2", "last"]
    assert survey(plan, store).complete
    store.write(a.reference.record, b"{")
    assert survey(plan, store).awaits == {"parts": "a is there"}
    go(plan, store)
    assert made[5:] == ["a"], "damage that hides the steps of a wave is mended, too"
    assert survey(plan, store).complete


def test_a_wave_that_stays_unknown_although_all_is_there_fails(store: ObjectStore) -> None:
    plan = Toys(([step(Toy("a"))], lambda store: Wave("more", (), "the moon is full")))
    with pytest.raises(RunFailed, match="more: expected that the moon is full"):
        go(plan, store)


def test_intermediate_results_are_not_missed_once_what_they_serve_is_there(store: ObjectStore, made: list[str]) -> None:
    part, whole = chain("part", "whole")
    plan = Toys(([step(part, serves=(step(whole).makes,))], [step(whole)]))
    go(plan, store)
    store.delete(part.reference.record)
    assert [known.state for known in survey(plan, store).steps] == ["unneeded", "done"]
    assert verify(plan, store) == ()
    go(plan, store)
    assert made == ["part", "whole"]
    store.delete(whole.reference.record)
    go(plan, store)
    assert made[2:] == ["part", "whole"]


def test_whoever_submits_is_told_of_complete_steps_and_progress_counts_them(store: ObjectStore) -> None:
    told: list[tuple[list[str], list[str]]] = []
    tallies: list[tuple[int, int]] = []

    class Told(NoProgress):
        def begin(self, tally: Tally) -> None:
            tallies.append((tally.before, tally.total))

    class Submit(InProcess):
        def __call__(self, wave: Wave, steps: Sequence[Step], done: Advance, complete: Sequence[Step] = ()) -> Outcome:
            told.append(([one.name for one in steps], [one.name for one in complete]))
            return super().__call__(wave, steps, done)

    go(plan_of(Toy("a")), store)
    plan = Toys(([step(Toy("a")), step(Toy("b")), step(Toy("c"), memoized=False)],))
    run(plan, store, Submit(store), Told())
    run(plan, store, Submit(store), Told())
    assert told == [(["b", "c"], ["a"]), ([], ["a", "b"])], "those of which there are too many are left out"
    assert tallies == [(1, 3), (3, 3)]


def test_a_step_travels_as_plain_json_to_another_process(store: ObjectStore) -> None:
    a, b = chain("a", "b")
    go(plan_of(a), store)
    work = json.dumps({"store": plain(store.settings), "work": step(b).work()})
    code = "import json, sys; from modeldiff_core.plan.perform import perform_work; "
    code += "print(json.dumps(perform_work(**json.load(sys.stdin))))"
    done = subprocess.run([sys.executable, "-c", code], input=work, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == plain(b.reference)
    assert total(store, b) == 2
    assert survey(plan_of(a, b), store).complete
