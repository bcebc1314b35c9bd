"""What stands in a plan's folders: sound, damaged, foreign, missing or stray; repair deletes that and nothing else."""

from modeldiff_core.plan import InProcess, repair, run, verify
from modeldiff_core.store import ObjectStore, write_record
from tests.modeldiff_core.plan.toys import FOLDER, Toy, chain, plan_of, total


def test_everything_that_is_wrong_is_named_and_mended(store: ObjectStore, made: list[str]) -> None:
    a, b, c, d = chain("a", "b", "c", "d")
    plan, stray = plan_of(a, b, c, d), f"{FOLDER}/notes.txt"
    run(plan, store, InProcess(store))
    before = {key: store.read(key) for key in store.sizes(FOLDER)}
    other = Toy("other", 9)
    store.write(a.reference.record, store.read(a.reference.record)[:-2])
    write_record(store, b.reference.record, {"digest": other.reference.digest, "total": 9})
    store.delete(c.reference.record)
    store.write(stray, b"x")
    store.write("elsewhere/notes.txt", b"not in a folder of the plan")
    told: list[tuple[int, int]] = []
    found = verify(plan, store, lambda done, all_of_them: told.append((done, all_of_them)))
    assert {one.key: one.kind for one in found} == {
        a.reference.record: "damaged",
        b.reference.record: "foreign",
        c.reference.record: "missing",
        stray: "stray",
    }
    assert found[-1].key == stray
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(one.why for one in found)
    assert set(repair(store, found)) == {a.reference.record, b.reference.record, stray}
    made.clear()
    run(plan, store, InProcess(store))
    assert made == ["a", "b", "c"], "d was sound"
    assert {key: store.read(key) for key in store.sizes(FOLDER)} == before
    assert store.exists("elsewhere/notes.txt")
    assert verify(plan, store) == ()
    assert total(store, d) == 4


def test_results_of_another_plan_in_the_same_folder_are_kept(store: ObjectStore) -> None:
    mine, others = plan_of(Toy("mine")), plan_of(Toy("others", 2))
    for plan in (mine, others):
        run(plan, store, InProcess(store))
    assert verify(mine, store) == verify(others, store) == ()
    store.write(Toy("others", 2).reference.record, b"{")
    (found,) = verify(mine, store)
    assert (found.key, found.kind) == (Toy("others", 2).reference.record, "damaged")
