"""Figures of one run, and the tables made of them."""

import math
import statistics
from collections import defaultdict

# The rates of a system in the rounds, by environment (a place and the state of the CPUs), load and system.
Rounds = dict[str, dict[str, dict[str, list[float]]]]


class Results:
    def __init__(self, peers: list[str], ours: list[str]) -> None:
        """`peers`: names of systems; each of `ours` is compared with the best of them that was measured."""
        self.peers, self.ours = peers, ours
        self.rounds: Rounds = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))

    def add(self, environment: str, load: str, system: str, rate: float) -> None:
        self.rounds[environment][load][system].append(rate)

    def medians(self, environment: str, load: str) -> dict[str, float]:
        return {system: statistics.median(rates) for system, rates in self.rounds[environment][load].items()}

    def ratio(self, environment: str, load: str, system: str) -> float | None:
        """To the best of the peers; None if either was not measured."""
        medians = self.medians(environment, load)
        best = max((medians[peer] for peer in self.peers if peer in medians), default=None)
        return medians[system] / best if best and system in medians else None

    def print_rates(self, environment: str) -> None:
        """Medians of what each system does in a second."""
        systems = list(dict.fromkeys(name for rates in self.rounds[environment].values() for name in rates))
        print(f"\n{environment}, a second{'':<{max(0, 18 - len(environment))}}" + "".join(f"{s:>15}" for s in systems))
        for load in self.rounds[environment]:
            medians = self.medians(environment, load)
            print(f"{load:28}" + "".join(f"{medians[s]:15.4g}" if s in medians else f"{'-':>15}" for s in systems))

    def print_ratios(self) -> None:
        """Each of ours to the best peer in the same environment, a column each, the worst first; `*`: behind."""
        columns: dict[tuple[str, str], dict[str, float]] = {}
        for environment, loads in self.rounds.items():
            for system in self.ours:
                found = {load: self.ratio(environment, load, system) for load in loads}
                if ratios := {load: ratio for load, ratio in found.items() if ratio}:
                    columns[environment, system] = ratios
        if not columns:
            return
        order = sorted(columns, key=lambda column: mean(columns[column]))
        names = list(dict.fromkeys(load for ratios in columns.values() for load in ratios))
        widths = [max(len(environment), len(system)) + 2 for environment, system in order]
        print(f"\nratio to the best of {', '.join(self.peers)}")
        for part in (0, 1):
            print(f"{'':28}" + "".join(f"{column[part]:>{width}}" for column, width in zip(order, widths)))
        for load in names:
            cells = [columns[column].get(load) for column in order]
            print(f"{load:28}" + "".join(f"{shown(cell):>{width}}" for cell, width in zip(cells, widths)))
        behind = [sum(ratio < 1 for ratio in columns[column].values()) for column in order]
        print(f"{'loads behind':28}" + "".join(f"{count:>{width}} " for count, width in zip(behind, widths)))


def mean(ratios: dict[str, float]) -> float:
    """The geometric one."""
    return math.exp(statistics.fmean(math.log(ratio) for ratio in ratios.values()))


def shown(ratio: float | None) -> str:
    return "- " if ratio is None else f"{ratio:.2f}{'*' if ratio < 1 else ' '}"
