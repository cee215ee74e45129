"""Time of one epoch of Flowers-17 from memory: batches by indexing against `DataLoader(TensorDataset)`.

Both normalise whole batches with the same arithmetic, so that only the collection of a batch differs, and both draw
their order from an equal generator: first it is checked that they give the same batches.

    python -m benchmarks.loader
    python -m benchmarks.loader --data-dir data/flowers17 --batch-sizes 8 64 512
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable

import torch
from torch.utils.data import DataLoader, TensorDataset

from datamodules import Flowers17, InMemoryDataset, in_memory_loader

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]
MEAN, STD = (0.416, 0.424, 0.284), (0.241, 0.222, 0.223)


def training_images(data_dir: str | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Flowers-17's training images and labels, or random ones of the same shape."""
    if data_dir is not None:
        return Flowers17(data_dir).splits().train
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (680, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return images, torch.arange(17).repeat_interleave(40)


def in_memory(images: torch.Tensor, labels: torch.Tensor, batch_size: int) -> Callable[[], Batches]:
    """Epochs of the loader of this project."""
    dataset = InMemoryDataset(images, labels, mean=MEAN, std=STD)
    return in_memory_loader(dataset, batch_size, shuffle=True, generator=torch.Generator().manual_seed(1)).__iter__


def tensor_dataset(images: torch.Tensor, labels: torch.Tensor, batch_size: int) -> Callable[[], Batches]:
    """Epochs of PyTorch's usual loader over tensors, each batch normalised."""
    loader = DataLoader(
        TensorDataset(images, labels), batch_size, shuffle=True, generator=torch.Generator().manual_seed(1)
    )
    std = torch.tensor(STD, dtype=torch.float64).view(3, 1, 1)
    scale = (1 / (255 * std)).float()
    shift = (-torch.tensor(MEAN, dtype=torch.float64).view(3, 1, 1) / std).float()

    def epoch() -> Batches:
        for batch, classes in loader:
            yield batch.float().mul_(scale).add_(shift), classes

    return epoch


def seconds(epoch: Callable[[], Batches]) -> float:
    """Wall-clock time of one epoch."""
    start = time.perf_counter()
    for _ in epoch():
        pass
    return time.perf_counter() - start


def main(arguments: list[str] | None = None) -> None:
    """Prints the median times per batch size, in milliseconds, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data-dir", help="directory of flowers17_16x16_uint8.npz (default: generated images)")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8, 32, 64, 128, 512])
    parser.add_argument("--repeats", type=int, default=15, help="epochs per loader and batch size (default: 15)")
    parser.add_argument("--threads", type=int, default=1, help="PyTorch's threads (default: 1)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)

    images, labels = training_images(options.data_dir)
    print(f"{len(images)} images, {options.repeats} epochs each, medians in ms")
    print(f"{'batch size':>10}  {'in memory':>9}  {'TensorDataset':>13}  {'ratio':>5}")
    for batch_size in options.batch_sizes:
        ours = in_memory(images, labels, batch_size)
        theirs = tensor_dataset(images, labels, batch_size)
        for (a, b), (c, d) in zip(ours(), theirs(), strict=True):
            if not (torch.equal(a, c) and torch.equal(b, d)):
                raise SystemExit(f"the loaders disagree at batch size {batch_size}")
        # Alternating, so that whatever else the machine does hits both alike.
        pairs = [(seconds(ours), seconds(theirs)) for _ in range(options.repeats)]
        fast, slow = (1e3 * statistics.median(times) for times in zip(*pairs, strict=True))
        print(f"{batch_size:>10}  {fast:>9.2f}  {slow:>13.2f}  {slow / fast:>5.1f}")


if __name__ == "__main__":
    main()
