from __future__ import annotations

import threading

from napari_cellprompt.core.inference.cache import FeatureCache


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache: FeatureCache[str] = FeatureCache(100)
    cache.put("a", "A", 40)
    cache.put("b", "B", 40)
    assert cache.get("a") == "A"
    cache.put("c", "C", 40)
    assert cache.get("b") is None
    assert (cache.get("a"), cache.get("c")) == ("A", "C")
    assert cache.nbytes == 80
    assert len(cache) == 2


def test_putting_again_replaces() -> None:
    cache: FeatureCache[str] = FeatureCache(100)
    cache.put("a", "old", 60)
    cache.put("a", "new", 70)
    assert cache.get("a") == "new"
    assert cache.nbytes == 70


def test_the_newest_stays_even_when_too_large() -> None:
    cache: FeatureCache[str] = FeatureCache(10)
    cache.put("a", "A", 5)
    cache.put("b", "B", 50)
    assert "b" in cache
    assert "a" not in cache
    cache.put("c", "C", 5)
    assert "b" not in cache
    assert cache.nbytes == 5


def test_drop_and_clear() -> None:
    cache: FeatureCache[int] = FeatureCache(100)
    for number in range(6):
        cache.put(("even" if number % 2 == 0 else "odd", number), number, 10)
    assert cache.drop(lambda key: key[0] == "even") == 3  # type: ignore[index]
    assert cache.nbytes == 30
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)


def test_a_smaller_budget_takes_effect_at_once() -> None:
    cache: FeatureCache[int] = FeatureCache(100)
    for number in range(5):
        cache.put(number, number, 20)
    cache.budget_bytes = 40
    assert cache.budget_bytes == 40
    assert [number in cache for number in range(5)] == [False, False, False, True, True]


def test_several_threads_keep_the_books_right() -> None:
    cache: FeatureCache[int] = FeatureCache(500)

    def work(seed: int) -> None:
        for step in range(400):
            key = (seed * 31 + step * 7) % 40
            if cache.get(key) is None:
                cache.put(key, key, 10 + key)
            if step % 50 == 0:
                cache.drop(lambda item: item == key)  # noqa: B023

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = [key for key in range(40) if key in cache]
    assert cache.nbytes == sum(10 + key for key in held) <= 500
