"""The end of every check: a few trials, together and one by one."""

from __future__ import annotations

from typing import Any

import torch

from benchmark.contracts.subject import Subject
from benchmark.data import Dataset, load, tensor_dataset
from benchmark.engine import train
from benchmark.records import Trial

RATES = (0.01, 0.05, 1e30)
"""The last one explodes at once, and must not disturb the others."""
BATCH, UPDATES, CHECKPOINTS = 16, 8, 4
COMPARED = ["train_loss", "gradient_norm_median", "update_ratio", "validation_loss"]


def random_images(shape: tuple[int, int, int]) -> Dataset:
    """Images of one's choice of shape (C, H, W), whose brightness says which of 3 classes."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(48) % 3
    images = torch.rand(48, *shape, generator=generator) + labels.view(-1, 1, 1, 1)
    pair = images, labels
    return tensor_dataset(
        f"random-{'x'.join(map(str, shape))}", train=pair, validation=pair, test=pair
    )


SMALL = random_images((1, 8, 8))


def check_training(subject: Subject, dataset: Dataset = SMALL, **choice: Any) -> str | None:
    """Train with ``choice``: the loss stays finite, and neighbours change nothing.

    ``updates`` among the choices replaces the usual number of them. Returns the reason where the
    combination is impossible, and None otherwise.
    """
    chosen: dict[str, Any] = {"precision": "float64", **choice}
    if "model" not in chosen:
        chosen |= {"model": "mlp", "width": 16}
    examples = len(load(dataset).train_labels)
    batch_size = min(BATCH, examples)
    if chosen.get("updates") is None:
        chosen["epochs"] = batch_size * UPDATES / examples
    trials = [
        Trial(
            dataset=dataset,
            learning_rate=rate,
            batch_size=batch_size,
            seed=seed,
            **chosen,
        )
        for seed, rate in enumerate(RATES)
    ]
    records = []
    for width in (len(trials), 1):
        with subject.attempt("must train"):
            records.append(train(trials, device="cpu", checkpoints=CHECKPOINTS, together=width))
    status = records[0].trials["status"]
    if status.eq("skipped").any():
        return str(records[0].trials["status_reason"].iloc[0])
    subject.demand(
        status.iloc[0] != "nonfinite",
        f"must keep the loss finite at a learning rate of {RATES[0]}, but it did not over "
        f"{UPDATES} updates",
    )
    if chosen["precision"] == "float64":
        together, alone = (
            [
                torch.tensor(rows[COMPARED].astype(float).to_numpy())
                for _, rows in record.history.groupby("trial", sort=False)
            ][:2]
            for record in records
        )
        rule = "must give the same results whether trials train together or alone"
        subject.same(together, alone, rule, rtol=1e-6)
    return None
