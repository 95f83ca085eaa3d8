"""The stored comparison and the page of claims made of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from toastlab.analysis.statistics import BASELINE
from toastlab.bench.text import alternatives_table, load_bench, methods_table
from toastlab.data.dataset import DataConfig
from toastlab.data.dataset import load as load_data
from toastlab.store.names import run_key
from toastlab.studies.arms import ARMS, PEERS
from toastlab.studies.catalogue import PARTS, PeersOptions
from toastlab.studies.claims import CLAIMS, Claim, evidence, judgement, overview, page, parts
from toastlab.studies.peers import (
    AUGMENTED_ARMS,
    HEADLINE,
    MAIN,
    NETWORKS,
    NOISE,
    PAIRWISE,
    entries,
    load,
    trial_jobs,
    tuned_entries,
)
from toastlab.studies.rows import Entry, select, write_rows
from toastlab.studies.tuning import (
    SHARED,
    SPACES,
    TRIALS,
    chosen,
    settings_of,
    trials,
)

ROOT = Path(__file__).parents[2]
SEEDS, MORE_SEEDS = PeersOptions().seeds, PeersOptions().more_seeds
prints: dict[DataConfig, str] = {}


def key_of(entry: Entry) -> str:
    data = entry.job.config.data
    if data not in prints:
        prints[data] = load_data(data).fingerprint
    return run_key(entry.job.config, prints[data])


def test_the_stored_comparison_is_whole() -> None:
    table = load()
    assert set(table.model) <= set(NETWORKS)
    assert set(select(table, model="mlp").part) == set(PARTS)
    plain = select(table, part="defaults")
    for (model, budget, setting), rows in plain.groupby(["model", "budget", "setting"]):
        seeds = rows.groupby("method").seed.nunique()
        assert set(seeds.index) == set(ARMS), (model, budget, setting)
        assert (seeds >= SEEDS).all()
        if model != "mlp":  # slow on a CPU: it has no more than these
            continue
        assert (seeds[list(HEADLINE)] >= MORE_SEEDS).all()
        if (budget, setting) == ("samples", MAIN):
            assert (seeds >= MORE_SEEDS).all()
    assert set(plain.setting) == set(NOISE)
    assert set(plain[plain.model == "mlp"].budget) == {"samples", "images"}
    tuned = select(table, part="tuned")
    seeds = tuned.groupby(["model", "setting", "method"]).seed.nunique()
    few = seeds[seeds < SEEDS]  # DLB's largest learning rate, which validation chose, may diverge
    assert set(few.index) <= {("mlp", "40 % noise", "DLB")}
    assert (few >= 2).all()
    assert set(tuned.method) == set(SPACES)
    pairwise = select(table, part="pairwise", setting=PAIRWISE)
    assert pairwise.groupby(["model", "method"]).seed.nunique().min() >= SEEDS
    assert set(pairwise.method) == set(ARMS)
    assert set(select(table, part="augmented").method) == set(AUGMENTED_ARMS)


def test_its_runs_are_those_of_this_code_and_these_data() -> None:
    table, searched = load(), load("trials")
    columns = ["part", "model", "budget", "setting", "method", "seed"]
    stored = table.set_index(columns).run.to_dict()
    for model in dict.fromkeys(table.model):
        wanted = entries(str(model))
        if model in set(searched.model):
            wanted += tuned_entries(str(model), searched)
        for entry in wanted:
            job = entry.job
            at = (entry.part, model, entry.budget, job.setting, job.arm, job.config.seed)
            if at in stored:
                assert stored[at] == key_of(entry), at


def test_the_trials_are_those_of_this_code_and_equally_many() -> None:
    """A trial that diverged has no row: it was tried, and lost."""
    table = load("trials")
    stored = table.set_index(["model", "setting", "method", "trial"]).run.to_dict()
    tried, lost = 0, []
    for job, number in trial_jobs("mlp"):
        at = ("mlp", job.setting, job.arm, number)
        tried += 1
        if at in stored:
            assert stored[at] == key_of(Entry("trials", "samples", job)), at
        else:
            lost.append(at)
    assert tried == len(stored) + len(lost) == len(NOISE) * len(SPACES) * (TRIALS + 1)
    assert table.groupby(["model", "setting", "method"]).size().min() >= TRIALS
    # what is lost is what asks for the largest steps, and never the source's own settings
    for _, setting, arm, number in lost:
        rates = [trial.learning_rate for trial in trials(arm, NETWORKS["mlp"])]
        assert number > 0, (setting, arm)
        assert rates[number] > sorted(rates)[len(rates) // 2], (setting, arm, number)


def test_the_tuned_settings_are_the_best_on_validation() -> None:
    table = load("trials")
    by = ["model", "setting", "method"]
    best = chosen(table)
    assert len(best) == len(table[by].drop_duplicates())
    for row in best.to_dict("records"):
        rivals = table[(table[by] == [row[name] for name in by]).all(axis=1)]
        assert row["val_top1"] == rivals.val_top1.max()
        # of equals the first
        assert (rivals.val_top1[rivals.trial < row["trial"]] < row["val_top1"]).all()


def test_equal_images_are_equal() -> None:
    images = select(load(), budget="images", part="defaults")
    for name, rows in images.groupby("model"):
        network = NETWORKS[str(name)]
        # steps are whole: an epoch may fall short by one, of at most twice the batch
        step = 2 * network.batch_size * network.epochs
        assert rows.total_passes.max() - rows.total_passes.min() <= step
        if name == "mlp":
            assert rows.total_passes.max() / rows.total_passes.min() <= 1.05


def test_the_committed_page_is_what_the_table_says() -> None:
    committed = ROOT / "docs" / "claims.md"
    assert committed.read_text(encoding="utf-8") == page(), "run `toastlab study page peers`"
    assert len(CLAIMS) >= 6


def test_the_pages_show_the_stored_comparison() -> None:
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    table = load()
    for text in (
        overview(table, "mlp"),
        *(parts(table, "mlp", name) for name in ("20 % noise", "clean labels")),
        *(parts(table, m, "20 % noise") for m in ("resnet-small",) if m in set(table.model)),
    ):
        assert text in results
    costs = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert methods_table(load_bench()) in costs
    assert alternatives_table(load_bench()) in costs


def test_the_readme_shows_five_rows_of_it() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [line.split(" | ") for line in overview(load(), "mlp").splitlines()]
    shown = [" | ".join([name, *cells[1:5]]) + " |" for name, *cells in rows]
    start = readme.index(shown[0])
    here = readme[start + 2 : start + 7]
    assert set(here) <= set(shown)
    names = [line.split(" | ")[0] for line in here]
    assert names == [
        "| cross-entropy",
        "| label smoothing",
        "| TOAST",
        "| TOAST random carry",
        "| CS-KD",
    ]


@pytest.mark.parametrize("arm", SPACES)
def test_trials_stay_in_their_space_and_differ(arm: str) -> None:
    found = trials(arm, NETWORKS["mlp"])
    assert len(found) == TRIALS + 1
    assert len(set(found)) == TRIALS + 1
    assert found[0].method == ARMS[arm]
    assert found == trials(arm, NETWORKS["mlp"])
    for axis in (*SHARED, *SPACES[arm]):
        values = [settings_of(config, arm)[axis.name] for config in found[1:]]
        assert axis.low <= min(values) <= max(values) <= axis.high
        # a Sobol sequence puts as many points into either half
        middle = float(axis.at(0.5))
        assert sum(v < middle for v in values) == TRIALS // 2, (axis.name, values)
    assert len(SPACES[arm]) <= 2


def test_the_multiplier_of_tf_kd_self_is_tuned() -> None:
    """Over what the public code has for its networks: 1 to 100."""
    (axis,) = (axis for axis in SPACES["Tf-KD self"] if axis.name == "multiplier")
    assert (axis.low, axis.high, axis.log) == (1, 100, True)


def test_every_peer_is_tuned_and_so_is_cross_entropy() -> None:
    assert set(SPACES) == {name for name in ARMS if not name.startswith("TOAST ")}
    assert set(load("trials").setting) == set(NOISE)
    assert TRIALS >= 16
    assert {*PEERS, BASELINE, "TOAST"} == set(SPACES)


def test_rows_replace_those_of_their_network_and_part(tmp_path: Path) -> None:
    def rows(part: str, model: str, value: int) -> pd.DataFrame:
        return pd.DataFrame({"part": [part], "model": [model], "x": [value]})

    for part, model, value in (("a", "m", 1), ("b", "m", 2), ("a", "n", 3), ("a", "m", 4)):
        write_rows(tmp_path / "rows.csv", rows(part, model, value))
    found = pd.read_csv(tmp_path / "rows.csv").set_index(["part", "model"]).x.to_dict()
    assert found == {("b", "m"): 2, ("a", "n"): 3, ("a", "m"): 4}


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (["better", "better"], "supported"),
        (["better", "worse"], "open"),
        (["better", "not significant"], "open"),
        (["not significant", "worse"], "not supported"),
        (["one seed: nothing to say"], "open"),
        ([], "open"),
    ],
)
def test_judgement(said: list[str], wanted: str) -> None:
    assert judgement(said) == wanted


def test_evidence_pairs_only_seeds_that_both_have() -> None:
    rows = [("TOAST", s, 0.8 + 0.01 * s) for s in range(5)] + [("DLB", s, 0.7) for s in range(3)]
    table = pd.DataFrame(rows, columns=["method", "seed", "test_top1"]).assign(setting="x")
    gaps = evidence(table, Claim("", "", "TOAST", ("DLB",)))
    assert gaps.seeds.tolist() == [3]
    assert gaps["mean"].tolist() == pytest.approx([0.11])


def test_verdicts_are_by_the_corrected_p() -> None:
    random = np.random.default_rng(1)
    rows = []
    for other, gap in (("A", 0.03), ("B", 0.01), ("C", 0.0)):
        for seed in range(5):
            rows += [("TOAST", seed, 0.8), (other, seed, 0.8 - gap + random.normal(0, 0.008))]
    table = pd.DataFrame(rows, columns=["method", "seed", "test_top1"]).drop_duplicates()
    gaps = evidence(table.assign(setting="x"), Claim("", "", "TOAST", ("A", "B", "C")))
    assert (gaps.p_holm >= gaps.p).all()
    assert gaps.p_holm.iloc[0] == pytest.approx(3 * gaps.p.iloc[0])
    clear = gaps.p_holm < 0.05
    assert (gaps.verdict[clear] == "better").all()
    assert (gaps.verdict[~clear] == "not significant").all()
    assert clear.any()
    assert not clear.all()
