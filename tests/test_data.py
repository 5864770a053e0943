"""Data sets: file format, lookup and hashes, splits, and what every registered one keeps."""

import gzip
import hashlib
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pooch
import pooch.core
import pytest
import torch
from sklearn.datasets import load_digits

from benchmark.data import DATASETS, DataError, Dataset, Splits, load, make_splits, tensor_dataset
from benchmark.data import datasets as datasets_module
from benchmark.data import sources as sources_module
from benchmark.data.idx import decompress, parse_idx
from benchmark.data.sources import Source, read_source
from benchmark.data.temporal_order import sequences
from benchmark.names import UnknownName, find

VALUES = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
IMAGES = torch.arange(16, dtype=torch.uint8).reshape(4, 2, 2)
LABELS = torch.tensor([0, 1, 0, 1])


def idx_bytes(values: np.ndarray) -> bytes:
    header = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return header + values.tobytes()


RAW = idx_bytes(VALUES)
SHA256 = hashlib.sha256(RAW).hexdigest()
ZIPPED = gzip.compress(RAW, mtime=0)
SOURCE = Source(
    "toy", "toy-idx3-ubyte", SHA256, hashlib.md5(ZIPPED).hexdigest(), "https://example.invalid/"
)
ALTERED = RAW[:-1] + b"\xff"


class Places:
    """The three folders that are looked in, all of them temporary."""

    def __init__(self, root: Path):
        self.named, self.cache, self.system = root / "named", root / "cache", root / "system"
        self.named.mkdir()

    def put(self, place: str, content: bytes, suffix: str = "") -> Path:
        path: Path = getattr(self, place) / SOURCE.dataset / f"{SOURCE.file}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    places = Places(tmp_path)
    monkeypatch.setenv("BENCHMARK_DATA", str(places.named))
    monkeypatch.setattr(sources_module, "cache_folder", lambda: places.cache)
    monkeypatch.setattr(sources_module, "SYSTEM_FOLDER", places.system)
    return places


Transfer = Callable[[str, Any, Any], None]


@pytest.fixture(autouse=True)
def transfer_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[Transfer], None]:
    """pooch as it is but for its last step, the transfer, which fails a test unless replaced."""

    def install(transfer: Transfer) -> None:
        monkeypatch.setattr(pooch.core, "choose_downloader", lambda *_, **__: transfer)

    install(lambda url, target, _: pytest.fail(f"a test tried to download {url}"))
    return install


def error_of(read: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        read()
    message = str(caught.value)
    assert "\n" not in message
    return message


# IDX files


def test_idx_gives_the_written_array() -> None:
    parsed = parse_idx(RAW, "toy")
    assert parsed.dtype == np.uint8
    np.testing.assert_array_equal(parsed, VALUES)


@pytest.mark.parametrize("content", [RAW, ZIPPED], ids=["raw", "gzip"])
def test_decompress_takes_both_forms(content: bytes) -> None:
    assert decompress(content, "toy") == RAW


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\x01" + RAW[1:], "not an IDX file"),
        (b"\0\0\x0d" + RAW[3:], "not an IDX file"),
        (b"\0\0\x08\x00\x07", "1..4 dimensions, but has 0"),
        (b"\0\0\x08\xc8" + b"\0\0\0\x01" * 200 + b"x", "1..4 dimensions, but has 200"),
        (RAW[:10], "ends within its header"),
        (b"\0\0\x08\x02\0\0\0\0\xff\xff\xff\xff", "is empty"),
        (RAW[:-1], "should hold 12 bytes"),
        (RAW + b"\0", "holds 13"),
    ],
)
def test_idx_rejects_what_it_cannot_be_sure_of(content: bytes, says: str) -> None:
    message = error_of(lambda: parse_idx(content, "bad.idx"))
    assert "bad.idx" in message
    assert says in message


@pytest.mark.parametrize("end", [5, len(ZIPPED) // 2, -1])
def test_a_gzip_that_is_cut_short_is_named(end: int) -> None:
    assert "cut.gz cannot be decompressed" in error_of(lambda: decompress(ZIPPED[:end], "cut.gz"))


@pytest.mark.parametrize(
    "content",
    [ZIPPED[:10] + b"\xff" * 20, ZIPPED[:-8] + bytes(8)],
    ids=["no-deflate-stream", "wrong-checksum"],
)
def test_a_gzip_that_is_damaged_is_named(content: bytes) -> None:
    assert "bad.gz cannot be decompressed" in error_of(lambda: decompress(content, "bad.gz"))


# lookup, hashes, downloads


@pytest.mark.parametrize("place", ["named", "cache", "system"])
@pytest.mark.parametrize(("content", "suffix"), [(RAW, ""), (ZIPPED, ".gz")], ids=["raw", "gzip"])
def test_each_place_is_looked_in(places: Places, place: str, content: bytes, suffix: str) -> None:
    places.put(place, content, suffix)
    np.testing.assert_array_equal(read_source(SOURCE), VALUES)


@pytest.mark.parametrize(
    ("first", "second"), [("named", "cache"), ("named", "system"), ("cache", "system")]
)
def test_earlier_places_win_and_a_wrong_file_is_not_passed_over(
    places: Places, first: str, second: str
) -> None:
    wrong = places.put(first, ALTERED)
    places.put(second, RAW)
    assert str(wrong) in error_of(lambda: read_source(SOURCE))
    places.put(first, RAW)
    places.put(second, ALTERED)
    np.testing.assert_array_equal(read_source(SOURCE), VALUES)


@pytest.mark.parametrize(
    ("content", "suffix", "decompressed"),
    [
        (ALTERED, "", ALTERED),
        (RAW[:-3], "", RAW[:-3]),
        (b"", "", b""),
        (gzip.compress(ALTERED), ".gz", ALTERED),
    ],
    ids=["altered", "truncated", "empty", "altered-gzip"],
)
def test_a_wrong_file_is_named_with_both_hashes(
    places: Places, content: bytes, suffix: str, decompressed: bytes
) -> None:
    path = places.put("named", content, suffix)
    message = error_of(lambda: read_source(SOURCE))
    assert str(path) in message
    assert SHA256 in message
    assert hashlib.sha256(decompressed).hexdigest() in message


def test_a_truncated_gzip_is_named_with_the_expected_hash(places: Places) -> None:
    path = places.put("named", ZIPPED[:-9], ".gz")
    message = error_of(lambda: read_source(SOURCE))
    assert f"{path} cannot be decompressed" in message
    assert SHA256 in message


def test_another_compression_of_the_same_bytes_is_taken(places: Places) -> None:
    other = gzip.compress(RAW, compresslevel=1, mtime=1)
    assert other != ZIPPED
    places.put("named", other, ".gz")
    np.testing.assert_array_equal(read_source(SOURCE), VALUES)


def test_a_missing_file_says_where_it_was_looked_for_and_why_the_download_failed(
    places: Places, transfer_with: Callable[[Transfer], None]
) -> None:
    def fail(url: str, target: Any, _: Any) -> None:
        raise ConnectionError("no route to host")

    transfer_with(fail)
    message = error_of(lambda: read_source(SOURCE))
    for folder in (places.named, places.cache, places.system):
        assert str(folder / "toy") in message
    for part in (SOURCE.file, SHA256, SOURCE.url, "no route to host", "Set BENCHMARK_DATA"):
        assert part in message


def test_a_named_folder_that_does_not_exist_is_an_error(
    places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    places.put("cache", RAW)
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path / "nowhere"))
    message = error_of(lambda: read_source(SOURCE))
    assert "BENCHMARK_DATA" in message
    assert str(tmp_path / "nowhere") in message


def files_under(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_download_is_kept_in_the_cache_and_made_once(
    places: Places, transfer_with: Callable[[Transfer], None]
) -> None:
    asked = []

    def serve(url: str, target: Any, _: Any) -> None:
        asked.append(url)
        Path(target).write_bytes(ZIPPED)

    transfer_with(serve)
    np.testing.assert_array_equal(read_source(SOURCE), VALUES)
    np.testing.assert_array_equal(read_source(SOURCE), VALUES)
    assert asked == [f"{SOURCE.url}{SOURCE.file}.gz"]
    assert files_under(places.cache) == [f"{SOURCE.file}.gz"]


@pytest.mark.parametrize("breaks_off", [True, False], ids=["breaks-off", "other-bytes"])
def test_a_failed_download_leaves_no_file(
    places: Places, transfer_with: Callable[[Transfer], None], breaks_off: bool
) -> None:
    def serve(url: str, target: Any, _: Any) -> None:
        Path(target).write_bytes(ZIPPED[:10])
        if breaks_off:
            raise ConnectionResetError("the peer hung up")

    transfer_with(serve)
    message = error_of(lambda: read_source(SOURCE))
    assert ("the peer hung up" if breaks_off else "hash") in message
    assert files_under(places.cache) == []


# splits


def test_digits_are_split_by_index_into_disjoint_parts_that_cover_all() -> None:
    splits, bunch = load("digits"), load_digits()
    fifth = np.arange(1797) % 5
    chosen = {"train": fifth < 3, "validation": fifth == 3, "test": fifth == 4}
    sizes = {}
    for name, where in chosen.items():
        images = getattr(splits, f"{name}_images")
        np.testing.assert_array_equal(images.squeeze(1).numpy(), bunch.images[where])
        np.testing.assert_array_equal(getattr(splits, f"{name}_labels"), bunch.target[where])
        sizes[name] = len(images)
    assert sizes == {"train": 1079, "validation": 359, "test": 359}
    assert int(splits.train_images.max()) == 16


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_last_ten_thousand_training_images_are_the_validation_set(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def numbered(source: Source) -> np.ndarray:
        count = 10_003 if source.file.startswith("train") else 5
        number = np.arange(count)
        values = number % 10 if "labels" in source.file else number % 251
        return values.astype(np.uint8).reshape((count,) if "labels" in source.file else (-1, 1, 1))

    monkeypatch.setattr(datasets_module, "read_source", numbered)
    splits = DATASETS[name].load()
    assert splits.train_images.flatten().tolist() == [0, 1, 2]
    assert splits.train_labels.tolist() == [0, 1, 2]
    assert splits.validation_images.flatten().tolist() == [n % 251 for n in range(3, 10_003)]
    assert splits.validation_labels.tolist() == [n % 10 for n in range(3, 10_003)]
    assert splits.test_labels.tolist() == [0, 1, 2, 3, 4]
    assert splits.mean == 1.0


def test_all_training_images_are_trained_on_where_published_numbers_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def numbered(source: Source) -> np.ndarray:
        count = 10_003 if source.file.startswith("train") else 5
        shape = (count,) if "labels" in source.file else (-1, 1, 1)
        return (np.arange(count) % 10).astype(np.uint8).reshape(shape)

    monkeypatch.setattr(datasets_module, "read_source", numbered)
    splits = DATASETS["mnist-60k"].load()
    assert len(splits.train_images) == 10_003
    assert torch.equal(splits.validation_images, splits.train_images[3:])
    assert (splits.mean, splits.std) == (0.0, 255.0)


class TestTemporalOrder:
    """Sequences of 30 steps, whose tenths are three steps long."""

    images, labels = sequences(2000, 30, np.random.default_rng(0))

    def test_every_step_shows_one_symbol(self) -> None:
        assert self.images.shape == (2000, 30, 6)
        assert (self.images.sum(axis=2) == 1).all()

    def test_telling_symbols_stand_in_the_second_and_in_the_sixth_tenth(self) -> None:
        telling = self.images[:, :, :2].sum(axis=2)
        where = np.flatnonzero(telling.any(axis=0)).tolist()
        assert where == [3, 4, 5, 15, 16, 17]
        assert (telling[:, 3:6].sum(axis=1) == 1).all()
        assert (telling[:, 15:18].sum(axis=1) == 1).all()

    def test_the_class_is_the_first_symbol_plus_twice_the_second(self) -> None:
        # column 1 of the symbols is B
        first, second = (self.images[:, part, 1].sum(axis=1) for part in (slice(10), slice(10, 30)))
        np.testing.assert_array_equal(self.labels, first + 2 * second)

    def test_classes_and_distractors_are_alike_often(self) -> None:
        assert np.bincount(self.labels) == pytest.approx([500] * 4, abs=80)
        shown = self.images.sum(axis=(0, 1))
        assert shown[2:] == pytest.approx([2000 * 28 / 4] * 4, rel=0.05)

    def test_a_tenth_is_a_step_or_more(self) -> None:
        with pytest.raises(ValueError, match="`length` must be 10 or more, but got 9"):
            sequences(1, 9, np.random.default_rng(0))


def test_mean_and_std_are_of_the_training_pixels_alone() -> None:
    train = torch.tensor([[[1, 3]], [[5, 7]]], dtype=torch.uint8), [0, 1]
    other = torch.full((1, 1, 2), 200, dtype=torch.uint8), [0]
    splits = make_splits(train=train, validation=other, test=other)
    assert splits.mean == 4.0
    assert splits.std == pytest.approx(5**0.5, rel=1e-12)


def test_to_moves_every_tensor_and_keeps_the_rest() -> None:
    splits = load("digits")
    moved = splits.to("meta")
    for part in ("train", "validation", "test"):
        for kind in ("images", "labels"):
            tensor, original = (getattr(s, f"{part}_{kind}") for s in (moved, splits))
            assert tensor.device.type == "meta"
            assert (tensor.shape, tensor.dtype) == (original.shape, original.dtype)
    assert (moved.mean, moved.std) == (splits.mean, splits.std)


# custom data sets


def own(images: Any = IMAGES, labels: Any = LABELS, **options: Any) -> Dataset:
    pair = images, labels
    return tensor_dataset("own", train=pair, validation=pair, test=pair, **options)


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (IMAGES, (1, 2, 2)),
        (IMAGES.float() / 16, (1, 2, 2)),
        (IMAGES.float().numpy(), (1, 2, 2)),
        (IMAGES.reshape(4, 2, 1, 2), (2, 1, 2)),
        (IMAGES.numpy()[::-1], (1, 2, 2)),
    ],
    ids=["uint8", "float", "numpy", "channels", "reversed"],
)
def test_own_arrays_become_a_data_set(images: Any, shape: tuple[int, int, int]) -> None:
    dataset = own(images, target_accuracy=0.7)
    assert (dataset.image_shape, dataset.classes, dataset.target_accuracy) == (shape, 2, 0.7)
    splits = load(dataset)
    stored = torch.as_tensor(np.asarray(images).copy())
    assert splits.train_images.dtype == stored.dtype
    assert torch.equal(splits.train_images, stored.reshape(4, *shape))
    batch = (splits.train_images.float() - splits.mean) / splits.std
    assert float(batch.mean()) == pytest.approx(0, abs=1e-6)
    assert float(batch.std(correction=0)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("value", [7.0, 0.1])
def test_constant_images_are_divided_by_one(value: float) -> None:
    assert own(torch.full((4, 2, 2), value)).load().std == 1.0


@pytest.mark.parametrize(
    "images",
    [
        list(IMAGES),
        tuple(IMAGES),
        IMAGES.tolist(),
        pd.Series(list(IMAGES.numpy())),
        IMAGES.numpy().astype(">i4"),
        IMAGES.numpy().astype(np.uint16),
        IMAGES.numpy().astype(np.longdouble),
        np.asfortranarray(IMAGES.numpy()),
    ],
    ids=["tensors", "tuple", "lists", "column", "big-endian", "uint16", "longdouble", "fortran"],
)
def test_images_are_taken_however_they_are_kept(images: Any) -> None:
    seen, expected = (
        (splits.train_images.float() - splits.mean) / splits.std
        for splits in (own(images).load(), own().load())
    )
    torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [
        (pd.Series([1, 0, 1, 0], index=[9, 8, 7, 6]), [1, 0, 1, 0]),
        (pd.DataFrame({"y": [1, 0, 1, 0]}), [1, 0, 1, 0]),
        (pd.Series([1, 0, 1, 0], dtype="Int64"), [1, 0, 1, 0]),
        (pd.Categorical(["b", "a", "b", "a"], categories=["b", "a"]), [0, 1, 0, 1]),
        (pd.Series(["9", "0", "9", "0"], dtype="category"), [1, 0, 1, 0]),
        (pd.Categorical([7, 3, 7, 3]), [1, 0, 1, 0]),
        (["dog", "cat", "dog", "cat"], [1, 0, 1, 0]),
        (np.array(["dog", "cat", "dog", "cat"]), [1, 0, 1, 0]),
        ([torch.tensor(1), torch.tensor(0)] * 2, [1, 0, 1, 0]),
        ([True, False, True, False], [1, 0, 1, 0]),
        (LABELS.reshape(4, 1).bfloat16(), LABELS.tolist()),
    ],
    ids=str,
)
def test_labels_are_taken_as_what_they_plainly_mean(labels: Any, numbers: list[int]) -> None:
    dataset = own(labels=labels)

    assert dataset.load().train_labels.tolist() == numbers
    assert dataset.classes == 2


def test_words_are_numbered_over_all_splits() -> None:
    parts = ((IMAGES, [a, b, a, b]) for a, b in (("c", "a"), ("b", "a"), ("c", "b")))
    splits = make_splits(*parts)

    assert splits.train_labels.tolist() == [2, 0, 2, 0]
    assert splits.validation_labels.tolist() == [1, 0, 1, 0]


def test_labels_are_words_in_every_split_or_in_none() -> None:
    words, numbers = (IMAGES, list("abab")), (IMAGES, LABELS)
    message = error_of(lambda: make_splits(words, numbers, words))

    assert "those of train are words and those of validation numbers" in message


@pytest.mark.parametrize("classes", [10.0, np.int64(10), np.float32(10)])
def test_a_whole_number_of_classes_is_taken(classes: Any) -> None:
    made = own(classes=classes).classes

    assert (made, type(made)) == (10, int)


@pytest.mark.parametrize(
    ("offset", "factor"), [(0.0, 1.0), (1.7e9, 1.0), (0.0, 1e39), (0.0, 1e300), (1e300, 1e290)]
)
def test_offset_and_factor_of_float64_images_cost_no_digits(offset: float, factor: float) -> None:
    seen = own(IMAGES.double() * factor + offset).load()
    pixels = IMAGES.double().unsqueeze(1)
    expected = (pixels - pixels.mean()) / pixels.std(correction=0)

    assert (seen.mean, seen.std) == (0.0, 1.0)
    torch.testing.assert_close(seen.test_images, expected, rtol=1e-4, atol=1e-5)


def test_large_whole_numbers_keep_their_digits() -> None:
    seen = own(IMAGES.long() + 10**12).load()

    torch.testing.assert_close(seen.train_images, own(IMAGES.double()).load().train_images)


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64])
def test_pixels_may_stay_as_they_are(kind: torch.dtype) -> None:
    splits = own(IMAGES.to(kind), standardize=False).load()

    assert (splits.mean, splits.std) == (0.0, 1.0)
    assert torch.equal(splits.train_images, IMAGES.to(kind).unsqueeze(1))
    assert own(IMAGES.to(kind)) != own(IMAGES.to(kind), standardize=False)


@pytest.mark.parametrize("kind", ["uint8", "float64"])
def test_a_data_set_takes_the_memory_of_its_images(kind: str) -> None:
    # what torch allocates is on no trace of Python's
    code = "from benchmark import tensor_dataset; import numpy as np, resource, sys\n"
    code += "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
    code += f"x = np.ones((256, 256, 256), '{kind}'); x[0] = 0; y = np.arange(256) % 2\n"
    code += "small = x[:2], y[:2]; tensor_dataset('s', train=small, validation=small, test=small)\n"
    code += "before = peak()\n"
    code += "made = tensor_dataset('x', train=(x, y), validation=small, test=small)\n"
    code += "print((peak() - before) / x.nbytes)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    # one copy, and what is at work on a part of it
    assert float(told.stdout) < 1.6


def test_classes_may_be_more_than_the_labels_show() -> None:
    assert own(classes=5).classes == 5


def test_own_arrays_are_copied() -> None:
    images, labels = IMAGES.numpy().copy(), LABELS.clone()
    dataset = own(images, labels)
    images[:], labels[:] = 99, 99
    assert torch.equal(dataset.load().test_images, IMAGES.unsqueeze(1))
    assert torch.equal(dataset.load().test_labels, LABELS)


def test_read_only_arrays_are_taken_without_a_warning() -> None:
    images = IMAGES.numpy().copy()
    images.flags.writeable = False
    assert own(images).image_shape == (1, 2, 2)


@pytest.mark.parametrize(
    ("images", "labels", "options", "says"),
    [
        (IMAGES, [0, 1], {}, "train must have as many images as labels, but has 4, 2"),
        (IMAGES[:0], LABELS[:0], {}, "but has 0, 0"),
        (IMAGES.flatten(1), LABELS, {}, "(4, 4)"),
        (IMAGES, LABELS.reshape(2, 2), {}, "(2, 2)"),
        (IMAGES, [0, -3, 0, 1], {}, "-3"),
        (IMAGES, [0.0, 0.5, 1.0, 1.0], {}, "whole numbers"),
        (IMAGES, [0.0, float("nan"), 1.0, 1.0], {}, "whole numbers"),
        (IMAGES, LABELS + 3, {"classes": 4}, "must be < classes=4, but one is 4"),
        (torch.full((4, 2, 2), float("nan")), LABELS, {}, "images of train must be finite"),
        (torch.full((4, 2, 2), float("inf")), LABELS, {}, "images of train must be finite"),
        ([[["a"]]] * 4, LABELS, {}, "images of train are no array of numbers"),
        ([torch.zeros(2, 2), torch.zeros(3, 3)] * 2, LABELS, {}, "are no array of numbers"),
        (IMAGES * 1j, LABELS, {}, "must be dense real numbers, but are torch.complex64"),
        (IMAGES.double() * 1e39, LABELS, {"standardize": False}, "must be within 3.4e+38 of zero"),
        (IMAGES, ["a", None, "b", "a"], {}, "labels of train must not be missing"),
        (IMAGES, ["a", 1, "b", 1], {}, "labels must be of one type, but are int, str"),
        (IMAGES, [[0], [1, 2], [0], [1]], {}, "labels of train must be (n,)"),
        (IMAGES, [25, 346, 31, 25], {}, "have 3 distinct values in 25..346 for 4 examples"),
        (IMAGES, [25, 346, 31, 25], {}, "number them, or say classes=347"),
        (IMAGES, LABELS, {"classes": 2.5}, "must be a whole number >= 2, but is 2.5"),
        (IMAGES, LABELS, {"classes": "10"}, "must be a whole number >= 2, but is '10'"),
        (IMAGES, LABELS, {"classes": True}, "must be a whole number >= 2, but is True"),
    ],
)
def test_own_arrays_that_cannot_be_trained_on(
    images: Any, labels: Any, options: dict[str, Any], says: str
) -> None:
    assert says in error_of(lambda: own(images, labels, **options))


def test_splits_must_have_images_of_one_shape() -> None:
    small, large = (IMAGES, LABELS), (torch.zeros(4, 3, 3), LABELS)
    message = error_of(lambda: make_splits(train=small, validation=small, test=large))
    assert "(1, 3, 3)" in message


def test_own_data_is_compared_by_its_values() -> None:
    copy = pickle.loads(pickle.dumps(own()))
    assert copy == own()
    assert load(copy) is load(own())
    assert own(IMAGES + 1) != own()
    assert own(IMAGES.reshape(4, 1, 4)) != own()


# every registered data set

AS_PUBLISHED = dict.fromkeys(("mnist-60k", "fashion-mnist-60k"), (0.0, 255.0))
AS_PUBLISHED["temporal-order"] = (0.0, 1.0)
"""Mean and deviation of the data sets whose pixels are not standardized."""


@pytest.fixture(params=list(DATASETS))
def registered(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[Dataset, Splits]:
    name = request.param
    # what would be downloaded is skipped, but a local file that is damaged fails the test
    missing = f"{name} is nowhere on this machine: set BENCHMARK_DATA"
    monkeypatch.setattr(pooch, "retrieve", lambda **_: pytest.skip(missing))
    return DATASETS[name], load(name)


def test_splits_keep_the_contract(registered: tuple[Dataset, Splits]) -> None:
    dataset, splits = registered
    for part in ("train", "validation", "test"):
        images, labels = (getattr(splits, f"{part}_{kind}") for kind in ("images", "labels"))
        assert images.dtype in (torch.uint8, torch.float32, torch.float64)
        assert labels.dtype == torch.int64
        assert tuple(images.shape) == (len(labels), *dataset.image_shape)
        assert labels.unique().tolist() == list(range(dataset.classes))
    pixels = splits.train_images.double()
    standardized = float(pixels.mean()), float(pixels.var(correction=0)) ** 0.5
    scale = AS_PUBLISHED.get(dataset.name, standardized)
    assert (splits.mean, splits.std) == pytest.approx(scale, rel=1e-9)


def test_sizes_are_the_published_ones(registered: tuple[Dataset, Splits]) -> None:
    dataset, splits = registered
    published = {"digits": (1079, 359, 359)} | dict.fromkeys(
        ("mnist", "fashion-mnist", "temporal-order"), (50_000, 10_000, 10_000)
    )
    published |= dict.fromkeys(("mnist-60k", "fashion-mnist-60k"), (60_000, 10_000, 10_000))
    if dataset.name not in published:
        pytest.skip(f"no sizes are on record for {dataset.name}")
    parts = splits.train_labels, splits.validation_labels, splits.test_labels
    assert tuple(map(len, parts)) == published[dataset.name]


@pytest.mark.parametrize("name", list(DATASETS))
def test_entries_keep_the_contract(name: str) -> None:
    dataset = DATASETS[name]
    assert dataset.name == name
    assert dataset.reference.strip()
    assert dataset.summary.strip()
    assert 1 / dataset.classes < dataset.target_accuracy < 1


@pytest.mark.parametrize("name", list(DATASETS))
def test_a_copy_in_another_process_is_the_same_entry(name: str) -> None:
    copy = pickle.loads(pickle.dumps(DATASETS[name]))
    assert find(copy, DATASETS, "dataset") == DATASETS[name]


def test_load_reads_once_a_process() -> None:
    calls = []

    def read() -> Splits:
        calls.append(1)
        return own().load()

    dataset = Dataset("counted", 2, (1, 2, 2), read, 0.9, "-", "-")
    assert load(dataset) is load(dataset)
    assert len(calls) == 1


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'fashion-mnist'"):
        load("fashion_mnist")
