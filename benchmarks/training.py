"""Training a network: ``isthmus.training.train`` against the loop that people write, images a second.

The loop is tried with a DataLoader of 0, 1 and 2 workers over single examples (crop and flip in each), with a
DataLoader over tensors and with plain indexing (crop and flip over the batch), in both memory layouts; its best counts.
It has torch's default allocator, threads and optimisers. Ours has one process with all threads, or a process a core
with one thread each, as two children side by side, with the environment that the executor gives its processes.
Every contestant is a process of its own, long-lived and warm; they take turns, so that what else the machine
does meets all of them. First, each trains an epoch under several seeds: the losses must agree within their spread.

    python benchmarks/training.py [--model resnet20 lenet5 mlp] [--seconds 6] [--rounds 5] [--profile]
    python benchmarks/training.py --device cuda [--model resnet20 resnet18] [--networks 8]

On a GPU the loop keeps its data there, in float32 and under bfloat16 autocast; ours is one network and so many at once,
and the rate of its multiplications is compared with that of a product of matrices.

With ``ISTHMUS_DATA`` on MNIST and CIFAR-10, else on made-up pictures of the same shapes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from isthmus import datasets, models, training
from isthmus.examples import Examples
from isthmus.execute import cores
from isthmus.execute.pool import ALLOCATOR
from isthmus.networks import NetworkState
from isthmus.noise import Noise
from isthmus.recipe import Augment, Optimizer, Recipe

SETUPS: dict[str, dict[str, Any]] = {
    "resnet20": {"data": "cifar10", "shape": (3, 32, 32), "augment": True, "epoch": 2560, "seeds": 3},
    "lenet5": {"data": "mnist", "shape": (1, 28, 28), "augment": False, "epoch": 20480, "seeds": 5},
    "resnet18": {"data": "cifar10", "shape": (3, 32, 32), "augment": True, "epoch": 2560, "seeds": 3},
    "mlp": {"data": "mnist", "shape": (1, 28, 28), "augment": False, "epoch": 20480, "seeds": 5},
}
BATCH = 128
DEFAULT = ["lenet5", "mlp", "resnet20"]
LOADERS = ("examples 0", "examples 1", "examples 2", "tensors", "indices")
LAYOUTS = ("nchw", "nhwc")
MULTIPLICATIONS = {"resnet20": 40.8e6, "resnet18": 555e6}
"""Of a forward pass of one picture; training takes three times as many, and as many additions."""


# --- what is trained ---


def data(model: str) -> tuple[Tensor, Tensor, tuple[float, ...], tuple[float, ...]]:
    """Pictures as bytes, labels, mean and deviation."""
    setup = SETUPS[model]
    if os.environ.get("ISTHMUS_DATA"):
        found = datasets.load(setup["data"], examples=20480)
        return torch.from_numpy(found.train.inputs.copy()), _labels(found.train.labels), found.mean, found.std
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (20480,), generator=generator)
    ideals = torch.randint(0, 256, (10, *setup["shape"]), generator=generator)
    pictures = ideals[labels] + torch.randint(-90, 91, (20480, *setup["shape"]), generator=generator)
    channels = setup["shape"][0]
    return pictures.clamp(0, 255).to(torch.uint8), labels, (0.5,) * channels, (0.3,) * channels


def _labels(labels: Any) -> Tensor:
    return torch.from_numpy(np.array(labels, dtype=np.int64))


def plain_model(model: str, seed: int) -> nn.Module:
    """The network as torch's own layers, with the initial weights of ours."""
    ours = models.initialise(model, seed, **_arguments(model))
    if model != "lenet5":
        return ours
    plain = nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.AvgPool2d(2), nn.Tanh(), nn.Conv2d(6, 16, 5), nn.AvgPool2d(2), nn.Tanh()),
        *(nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )
    plain.load_state_dict(dict(zip(plain.state_dict(), ours.state_dict().values(), strict=True)))
    return plain


def _arguments(model: str) -> dict[str, Any]:
    return {"hidden": [50, 50]} if model == "mlp" else {}


def recipe(model: str, precision: str = "float32") -> Recipe:
    """What both sides do."""
    sgd = Optimizer(lr=0.1, momentum=0.9, weight_decay=1e-4)
    return Recipe.model_validate(
        {
            "optimizer": sgd if SETUPS[model]["augment"] else Optimizer(name="adam", lr=1e-3),
            "batch_size": BATCH,
            "augment": Augment(crop=4, flip=True) if SETUPS[model]["augment"] else Augment(),
            "precision": precision,
        }
    )


# --- the loop that people write ---


class PerExample(Dataset[tuple[Tensor, Tensor]]):
    """Single pictures, each cropped and flipped by itself."""

    def __init__(self, x: Tensor, y: Tensor, *, augment: bool) -> None:
        self.x, self.y, self.augment = x, y, augment

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x = self.x[index]
        if self.augment:
            row, column, flip = torch.randint(0, 9, (3,)).tolist()
            x = F.pad(x, (4,) * 4)[:, row : row + 32, column : column + 32]
            x = x.flip(2) if flip > 4 else x
        return x, self.y[index]


def augmented(x: Tensor) -> Tensor:
    """A batch, each picture cropped and flipped, without a loop."""
    rows, columns = torch.randint(0, 9, (2, len(x), 1), device=x.device)
    flip = torch.rand(len(x), 1, device=x.device) < 0.5
    across = torch.arange(32, device=x.device)
    rows, columns = rows + across, columns + torch.where(flip, across.flip(0), across)
    batch = torch.arange(len(x), device=x.device)[:, None, None]
    return F.pad(x, (4,) * 4).permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def batches(x: Tensor, y: Tensor, loader: str, *, augment: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch."""
    kind, _, workers = loader.partition(" ")
    if kind == "examples":
        yield from DataLoader(
            PerExample(x, y, augment=augment), BATCH, shuffle=True, drop_last=True, num_workers=int(workers)
        )
        return
    if kind == "tensors":
        source: Any = DataLoader(TensorDataset(x, y), BATCH, shuffle=True, drop_last=True)
    else:
        order = torch.randperm(len(x), device=x.device)
        picks = (order[i : i + BATCH] for i in range(0, len(x) - BATCH + 1, BATCH))
        source = ((x[pick], y[pick]) for pick in picks)
    for inputs, targets in source:
        yield (augmented(inputs) if augment else inputs), targets


class Plain:
    """The loop that people write."""

    def __init__(self, model: str, device: str, loader: str, layout: str, precision: str = "float32") -> None:
        pixels, self.y, mean, std = data(model)
        self.device, self.precision = device, precision
        constants = [torch.tensor(values).view(1, -1, 1, 1) for values in (mean, std)]
        self.x = (pixels.float() / 255 - constants[0]) / constants[1]
        self.x, self.y = self.x.to(device), self.y.to(device)
        self.name, self.loader, self.layout = model, loader, layout
        self.begin(0)

    def begin(self, seed: int) -> None:
        """A new network."""
        torch.manual_seed(seed)
        self.model = plain_model(self.name, seed).train().to(self.device)
        if self.layout == "nhwc":
            self.model = self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        parameters = self.model.parameters()
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-4)
            if SETUPS[self.name]["augment"]
            else torch.optim.Adam(parameters, lr=1e-3)
        )
        self.epoch = iter(())  # type: Iterator[tuple[Tensor, Tensor]]

    def _next(self, examples: int) -> tuple[Tensor, Tensor]:
        found = next(self.epoch, None)
        if found is None:
            augment = SETUPS[self.name]["augment"]
            self.epoch = batches(self.x[:examples], self.y[:examples], self.loader, augment=augment)
            found = next(self.epoch)
        return found

    def steps(self, count: int, examples: int) -> list[float]:
        """The losses of so many steps."""
        losses = []
        for _ in range(count):
            inputs, targets = self._next(examples)
            if self.layout == "nhwc":
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            self.optimizer.zero_grad()
            with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
                outputs = self.model(inputs)
            loss = F.cross_entropy(outputs.float(), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            losses.append(loss.detach())
        return [float(loss) for loss in losses]


class Ours:
    """``isthmus.training.train``."""

    def __init__(self, model: str, device: str, precision: str) -> None:
        pixels, labels, mean, std = data(model)
        self.device = device
        self.examples = Examples(pixels, labels, mean, std, pixels=True, channels_last=True)
        self.recipe, self.name = recipe(model, precision), model
        self.begin(0)

    def begin(self, seed: int) -> None:
        """A new network."""
        self.model = models.initialise(self.name, seed, **_arguments(self.name))
        self.state, self.noise = NetworkState.of(self.model), Noise.of(seed)

    def steps(self, count: int, examples: int) -> list[float]:
        """The losses of so many steps."""
        found = self.examples.subset(torch.arange(examples)) if examples < len(self.examples) else self.examples
        start = self.state.step
        run = (self.state, self.recipe, found, self.noise, start, start + count)
        self.state, log = training.train(*run, model=self.model, device=self.device)
        return [float(loss) for loss in log.losses]


# --- a contestant's process ---


def serve(role: str, model: str, device: str) -> None:
    """Do as told on standard input: ``epoch SEED`` or ``steps COUNT``; the answer is a line of JSON."""
    kind, _, manner = role.partition(":")
    made: Plain | Ours = Plain(model, device, *manner.split("/")) if kind == "plain" else Ours(model, device, manner)
    whole = 20480
    for line in sys.stdin:
        what, number = line.split()
        if what == "epoch":
            made.begin(int(number))
            epoch = SETUPS[model]["epoch"]
            answer: Any = made.steps(epoch // BATCH, epoch)[-epoch // BATCH // 5 :]
        else:
            began = time.perf_counter()
            made.steps(int(number), whole)
            answer = time.perf_counter() - began
        print(json.dumps(answer), flush=True)


class Contestant:
    """A process that trains when told."""

    def __init__(self, role: str, model: str, threads: int, device: str = "cpu") -> None:
        self.role, ours = role, role.startswith("ours")
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **(ALLOCATOR if ours else {})}
        command = [sys.executable, __file__, "--serve", role, "--model", model, "--device", device]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, question: str) -> None:
        """Begin; :meth:`answer` waits for the end."""
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """What it found."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def speed(contestants: list[Contestant], steps: int) -> float:
    """Images a second of contestants that run at once."""
    for contestant in contestants:
        contestant.ask(f"steps {steps}")
    return math.fsum(BATCH * steps / contestant.answer() for contestant in contestants)


# --- the comparison ---


def compare(model: str, seconds: float, rounds: int, *, bf16: bool) -> None:
    """Print the losses, every form of the loop, and the ratios with their spread."""
    threads = cores()
    with_loaders = [f"plain:{loader}/{layout}" for loader in LOADERS for layout in LAYOUTS]
    plain = [role for role in with_loaders if not (model == "mlp" and role.endswith("nhwc"))]
    everyone: list[Contestant] = []

    def start(role: str, threads: int) -> Contestant:
        everyone.append(Contestant(role, model, threads))
        return everyone[-1]

    forms = {role: start(role, threads) for role in plain}
    pace = {role: 20 * BATCH / speed([made], 20) for role, made in forms.items()}
    steps = max(5, round(20 * seconds / min(pace.values())))
    print(f"{model}, batch {BATCH}, {threads} cores; each turn {steps} steps")
    rates = {role: speed([made], max(5, steps // 3)) for role, made in forms.items()}
    for role, rate in sorted(rates.items(), key=lambda item: item[1]):
        print(f"  the loop, {role.removeprefix('plain:'):18} {rate:8.0f} images/s")
    best = forms[max(rates, key=lambda role: rates[role])]
    one, pair = start("ours:float32", threads), [start("ours:float32", 1) for _ in range(threads)]
    sides = {"one process": [one], f"{threads} children side by side": pair}
    if bf16:
        sides["one process, bf16"] = [start("ours:bf16", threads)]
    agree(best, one, SETUPS[model]["seeds"])
    for contestants in sides.values():
        speed(contestants, 20)  # the first time is nobody's measure
    ratios: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        theirs = speed([best], steps)
        for name, contestants in sides.items():
            mine = speed(contestants, steps)
            ratios[name].append(mine / theirs)
            print(f"  the loop {theirs:8.0f}, ours, {name}: {mine:8.0f} images/s, ratio {ratios[name][-1]:.2f}")
    for name, found in ratios.items():
        print(f"{model}, {name}: ratio median {statistics.median(found):.2f}, {min(found):.2f} to {max(found):.2f}")
    for contestant in everyone:
        contestant.close()


def agree(theirs: Contestant, ours: Contestant, seeds: int) -> None:
    """Refuse to go on if the losses at the end of an epoch differ by more than seeds make them differ."""
    ends: list[list[float]] = []
    for contestant in (theirs, ours):
        ends.append([])
        for seed in range(seeds):
            contestant.ask(f"epoch {seed}")
            ends[-1].append(statistics.mean(contestant.answer()))
    means, deviations = [statistics.mean(end) for end in ends], [statistics.stdev(end) for end in ends]
    error = (sum(deviation**2 for deviation in deviations) / seeds) ** 0.5
    told = f"loss at the end of an epoch {means[0]:.4f} and {means[1]:.4f}, standard error of the difference"
    print(f"  {told} {error:.4f}, {seeds} seeds")
    if abs(means[0] - means[1]) > 4 * error:
        raise SystemExit("the two do not train the same network")


def profile(model: str) -> None:
    """Where ours spends its time, one thread."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    torch.set_num_threads(1)
    ours = Ours(model, "cpu", "float32")
    ours.steps(3, 20480)
    with profiler(activities=[ProfilerActivity.CPU]) as found:
        ours.steps(8 if SETUPS[model]["augment"] else 100, 20480)
    events = sorted(found.key_averages(), key=lambda event: -event.self_cpu_time_total)
    whole = sum(event.self_cpu_time_total for event in events)
    print(f"{model}, where the time goes (one thread, a product of matrices runs at {product_rate():.0f} GFLOP/s):")
    for event in events[:12]:
        print(f"  {100 * event.self_cpu_time_total / whole:5.1f} %  {event.key}")


def product_rate(device: str = "cpu", dtype: torch.dtype = torch.float32, side: int = 1536) -> float:
    """GFLOP/s of a product of matrices: what convolutions can hope for."""
    a = torch.randn(side, side, device=device, dtype=dtype)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        product = a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
        del product
    return 2e-9 * side**3 / min(seconds)


def compare_on_gpu(model: str, networks: int, rounds: int) -> None:
    """Print the loop, one network and so many at once, each in float32 and bfloat16, an epoch's time and the rates."""
    for precision, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        rate = product_rate("cuda", dtype, 8192)
        loops = [Contestant(f"plain:indices/{layout}/{precision}", model, 1, "cuda") for layout in LAYOUTS]
        ours = [Contestant(f"ours:{precision}", model, 1, "cuda") for _ in range(networks)]
        agree(loops[0], ours[0], SETUPS[model]["seeds"])
        for contestants in ([loops[0]], [loops[1]], ours):
            speed(contestants, 60)  # recordings are made, kernels chosen
        for _ in range(rounds):
            theirs = max(speed([loop], 1500) for loop in loops)
            for count in (1, networks):
                found = speed(ours[:count], 1500)
                share = 6e-9 * MULTIPLICATIONS[model] * found / rate
                print(f"  {model}, {precision}: the loop {theirs:.0f}, ours, {count} at once: {found:.0f} images/s,")
                print(f"    ratio {found / theirs:.2f}, an epoch of 50,000 in {50_000 * count / found:.2f} s each,")
                print(f"    {100 * share:.0f} % of the rate of a product of matrices ({rate / 1000:.0f} TFLOP/s)")
        for contestant in (*loops, *ours):
            contestant.close()


def has_bf16() -> bool:
    """Whether the CPU computes in bfloat16."""
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    return "avx512_bf16" in flags or "amx_bf16" in flags


def main() -> None:
    """Compare for each model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", nargs="+", default=DEFAULT, choices=sorted(SETUPS))
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--networks", type=int, default=8, help="how many at once on a GPU")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.serve:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        serve(wanted.serve, wanted.model[0], wanted.device)
        return
    if wanted.device == "cuda":
        for model in MULTIPLICATIONS:
            if model in wanted.model or wanted.model == DEFAULT:
                compare_on_gpu(model, wanted.networks, wanted.rounds)
        return
    show: Callable[[str], None] = (
        profile
        if wanted.profile
        else lambda model: compare(model, wanted.seconds, wanted.rounds, bf16=has_bf16() and model == "resnet20")
    )
    for model in wanted.model:
        show(model)
    if not has_bf16():
        print("this CPU does not compute in bfloat16, which is therefore not compared")


if __name__ == "__main__":
    main()
